// The reductions of reduce.wgsl on devices with subgroups: one barrier in place of eight. No size and no order of subgroups is
// assumed: each leaves its result at the place of its first invocation, 0 elsewhere, and then every subgroup adds up all 256
// places for itself.

var<workgroup> lanes: array<f32, LANES>;
var<workgroup> lanes_low: array<f32, LANES>;
var<workgroup> lanes_u: array<u32, LANES>;

fn sum_all(x: f32, lane: u32) -> f32 {
  let part = subgroupAdd(x);
  workgroupBarrier();
  lanes[lane] = select(0.0, part, subgroupElect());
  workgroupBarrier();
  let size = subgroupAdd(1u);
  var mine = 0.0;
  for (var at = subgroupExclusiveAdd(1u); at < LANES; at += size) {
    mine += lanes[at];
  }
  lanes_low[lane] = subgroupAdd(mine);
  workgroupBarrier();
  return workgroupUniformLoad(&lanes_low[0]);
}

fn max_all(x: f32, lane: u32) -> f32 {
  let part = subgroupMax(x);
  workgroupBarrier();
  lanes[lane] = part;
  workgroupBarrier();
  let size = subgroupAdd(1u);
  var mine = part;
  for (var at = subgroupExclusiveAdd(1u); at < LANES; at += size) {
    mine = max(mine, lanes[at]);
  }
  lanes_low[lane] = subgroupMax(mine);
  workgroupBarrier();
  return workgroupUniformLoad(&lanes_low[0]);
}

fn min_all(x: f32, lane: u32) -> f32 {
  return -max_all(-x, lane);
}

// Two parts do not add up within a subgroup: a tree, as without them.
fn sum_pair_all(x: Pair, lane: u32) -> Pair {
  workgroupBarrier();
  lanes[lane] = x.high;
  lanes_low[lane] = x.low;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      let both = pair_add(Pair(lanes[lane], lanes_low[lane]), Pair(lanes[lane + half], lanes_low[lane + half]));
      lanes[lane] = both.high;
      lanes_low[lane] = both.low;
    }
    workgroupBarrier();
  }
  return Pair(workgroupUniformLoad(&lanes[0]), workgroupUniformLoad(&lanes_low[0]));
}

fn sum_all_u(x: u32, lane: u32) -> u32 {
  let part = subgroupAdd(x);
  workgroupBarrier();
  lanes_u[lane] = select(0u, part, subgroupElect());
  workgroupBarrier();
  let size = subgroupAdd(1u);
  var mine = 0u;
  for (var at = subgroupExclusiveAdd(1u); at < LANES; at += size) {
    mine += lanes_u[at];
  }
  let total = subgroupAdd(mine);
  workgroupBarrier();
  lanes_u[lane] = total;
  return workgroupUniformLoad(&lanes_u[0]);
}

fn max_all_u(x: u32, lane: u32) -> u32 {
  workgroupBarrier();
  lanes_u[lane] = subgroupMax(x);
  workgroupBarrier();
  let size = subgroupAdd(1u);
  var mine = 0u;
  for (var at = subgroupExclusiveAdd(1u); at < LANES; at += size) {
    mine = max(mine, lanes_u[at]);
  }
  let total = subgroupMax(mine);
  workgroupBarrier();
  lanes_u[lane] = total;
  return workgroupUniformLoad(&lanes_u[0]);
}
