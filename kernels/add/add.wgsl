// See add.h. 12 B per element.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  if (i < args.N) {
    set_z(i, in_x(i) + in_y(i));
  }
}
