// See copy.h. 8 B per element, the minimum.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  if (i < args.N) {
    set_y(i, in_x(i));
  }
}
