// See swiglu.h. 20 B per element, the minimum.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  if (i >= args.N * args.H) {
    return;
  }
  let grad = in_gradY(i);
  let gate = in_gate(i);
  let up = in_up(i);
  let s = logistic(Pair(gate, 0.0));
  set_gradGate(i, grad * up * s.up * fma(gate, s.down, 1.0));
  set_gradUp(i, grad * (gate * s.up));
}
