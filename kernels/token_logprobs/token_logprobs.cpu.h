// See token_logprobs.h.
#pragma once
#include "row_sum.cpu.h"
#include "token_logprobs.h"

namespace prefgrad::PREFGRAD_ISA {

template <typename Logit>
inline void token_logprobs(const TokenLogprobs& a, int64_t begin, int64_t end, int) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const auto write = [&](int64_t i, float logprob, float row_max, float log_sum, float entropy) {
    a.logprob[i] = logprob;
    a.row_max[i] = row_max;
    a.log_sum[i] = log_sum;
    if (a.entropy != nullptr) a.entropy[i] = entropy;
  };
  with_transform(a, [&](auto transform) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t token = a.tokens[i];
      if (token == a.ignore_index) {
        write(i, 0.0f, 0.0f, 0.0f, 0.0f);
        continue;
      }
      if (token < 0 || token >= a.V) {
        a.fault->report(1, i);
        write(i, nan, nan, nan, nan);
        continue;
      }
      const auto* p = static_cast<const typename Logit::Element*>(a.logits) + i * a.V;
      const RowSum row = a.entropy != nullptr ? sum_row<true, Logit>(p, a.V, transform)
                                              : sum_row<false, Logit>(p, a.V, transform);
      const double log_sum = log1p_of(row.total);
      float x[16];
      store(x, transform(load_some<Logit>(p + token, 1)));
      const double gap = x[0] == row.largest ? 0.0 : static_cast<double>(x[0]) - static_cast<double>(row.largest);
      write(i, static_cast<float>(gap - log_sum), row.largest, static_cast<float>(log_sum),
            static_cast<float>(log_sum - row.moment / (1.0 + row.total)));
    }
  });
}

}  // namespace prefgrad::PREFGRAD_ISA
