// See axpy.h. 12 B per element, the minimum. alpha and its product keep their second parts, so that only the sum is rounded.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  if (i >= args.N) {
    return;
  }
  let x = in_x(i);
  let product = two_product(args.alpha, x);
  let sum = two_sum(in_y(i), product.high);
  set_y(i, value_of(Pair(sum.high, sum.low + fma(args.alpha_low, x, product.low))));
}
