// See cast.h. Word by word of y; 4 or 2 B read and written per element.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let word = group_of(id) * LANES + lane;
  let first = first_of_word_y(word);
  let inside = vec2<bool>(first >= 0 && first < i32(args.N), first + 1 < i32(args.N));
  if (first >= i32(args.N)) {
    return;
  }
  var x = vec2<f32>();
  if (inside.x) {
    x.x = in_x(u32(first));
  }
  if (y_per_word == 2u && inside.y) {
    x.y = in_x(u32(first + 1));
  }
  set_word_y(word, x, inside);
}
