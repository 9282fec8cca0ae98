// See swiglu.h. 12 B per element, the minimum.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  if (i < args.N * args.H) {
    let gate = in_gate(i);
    set_y(i, gate * logistic(Pair(gate, 0.0)).up * in_up(i));
  }
}
