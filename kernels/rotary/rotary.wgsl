// See rotary.h. `frequencies` prepares one angle per pair of a head; `forward` turns one pair per invocation.
// 8 B per element: each is read and written once.
const FREQUENCIES = 0u;

fn half_size() -> u32 {
  return args.Q / u32(args.heads) / 2u;
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let half = half_size();
  let pairs = args.Q / 2u;
  let number = group_of(id) * LANES + lane;
  if (number >= args.N * pairs) {
    return;
  }
  let row = number / pairs;
  let head = number % pairs / half;
  let i = number % pairs % half;
  let at = row * args.Q + head * 2u * half + i;
  let y = turned(vec2<f32>(in_x(at), in_x(at + half)), angle_of(i, in_positions(row)));
  set_y(at, y.x);
  set_y(at + half, y.y);
}
