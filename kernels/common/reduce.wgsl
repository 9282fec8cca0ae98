// Reductions over the 256 invocations of a workgroup, as a tree in workgroup memory. All must take part, and all get the
// result, which is uniform. reduce_subgroups.wgsl has the same for devices with subgroups.

var<workgroup> lanes: array<f32, LANES>;
var<workgroup> lanes_low: array<f32, LANES>;
var<workgroup> lanes_u: array<u32, LANES>;

fn sum_all(x: f32, lane: u32) -> f32 {
  lanes[lane] = x;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      lanes[lane] += lanes[lane + half];
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&lanes[0]);
}

fn max_all(x: f32, lane: u32) -> f32 {
  lanes[lane] = x;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      lanes[lane] = max(lanes[lane], lanes[lane + half]);
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&lanes[0]);
}

fn min_all(x: f32, lane: u32) -> f32 {
  return -max_all(-x, lane);
}

fn sum_pair_all(x: Pair, lane: u32) -> Pair {
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
  lanes_u[lane] = x;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      lanes_u[lane] += lanes_u[lane + half];
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&lanes_u[0]);
}

fn max_all_u(x: u32, lane: u32) -> u32 {
  lanes_u[lane] = x;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      lanes_u[lane] = max(lanes_u[lane], lanes_u[lane + half]);
    }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&lanes_u[0]);
}
