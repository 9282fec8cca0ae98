// The native list: per op its kernels' header and one row per pass and element type. The addon reports this list at load,
// and it must agree with lib/spec. Rows: op, pass, dtype, argument struct, kernel (in the namespace of the ISA).
#pragma once

// Rows of the second list: op, argument struct; the launches are planned by the `plan` of that struct.
#if defined(PREFGRAD_LAUNCHES)
#include "token_logprobs/token_logprobs.launch.h"
#include "sequence_logprobs/sequence_logprobs.launch.h"
#include "token_rewards/token_rewards.launch.h"
#include "gae/gae.launch.h"
#include "whiten/whiten.launch.h"
#include "ppo_policy_loss/ppo_policy_loss.launch.h"
#include "kl_penalty/kl_penalty.launch.h"
#include "ppo_value_loss/ppo_value_loss.launch.h"
#include "bradley_terry_loss/bradley_terry_loss.launch.h"
#include "dpo_loss/dpo_loss.launch.h"
#include "grad_norm/grad_norm.launch.h"
#include "adamw/adamw.launch.h"
#include "embedding/embedding.launch.h"
#include "linear/linear.launch.h"
#include "rms_norm/rms_norm.launch.h"
#include "rotary/rotary.launch.h"
#include "rotary_attention/rotary_attention.launch.h"
#include "swiglu/swiglu.launch.h"
#include "add/add.launch.h"
#include "axpy/axpy.launch.h"
#include "fill/fill.launch.h"
#include "copy/copy.launch.h"
#include "cast/cast.launch.h"
#include "gather_rows/gather_rows.launch.h"
#include "scatter_rows/scatter_rows.launch.h"
#include "pool_rows/pool_rows.launch.h"
#include "sample_tokens/sample_tokens.launch.h"
#endif

#if defined(PREFGRAD_CPU)
#include "token_logprobs/token_logprobs.cpu.h"
#include "token_logprobs/token_logprobs_backward.cpu.h"
#include "sequence_logprobs/sequence_logprobs.cpu.h"
#include "token_rewards/token_rewards.cpu.h"
#include "gae/gae.cpu.h"
#include "whiten/whiten.cpu.h"
#include "ppo_policy_loss/ppo_policy_loss.cpu.h"
#include "kl_penalty/kl_penalty.cpu.h"
#include "ppo_value_loss/ppo_value_loss.cpu.h"
#include "bradley_terry_loss/bradley_terry_loss.cpu.h"
#include "dpo_loss/dpo_loss.cpu.h"
#include "grad_norm/grad_norm.cpu.h"
#include "adamw/adamw.cpu.h"
#include "embedding/embedding.cpu.h"
#include "linear/linear.cpu.h"
#include "linear/linear_backward.cpu.h"
#include "rms_norm/rms_norm.cpu.h"
#include "rotary/rotary.cpu.h"
#include "rotary_attention/rotary_attention.cpu.h"
#include "rotary_attention/rotary_attention_backward.cpu.h"
#include "swiglu/swiglu.cpu.h"
#include "add/add.cpu.h"
#include "axpy/axpy.cpu.h"
#include "fill/fill.cpu.h"
#include "copy/copy.cpu.h"
#include "cast/cast.cpu.h"
#include "gather_rows/gather_rows.cpu.h"
#include "scatter_rows/scatter_rows.cpu.h"
#include "pool_rows/pool_rows.cpu.h"
#include "sample_tokens/sample_tokens.cpu.h"
#endif

// clang-format off
#define PREFGRAD_PASSES(PASS)                                                                       \
  PASS("tokenLogprobs", "forward", "f32", TokenLogprobs, token_logprobs<LogitF32>)                  \
  PASS("tokenLogprobs", "forward", "bf16", TokenLogprobs, token_logprobs<LogitBf16>)                \
  PASS("tokenLogprobs", "forward", "f16", TokenLogprobs, token_logprobs<LogitF16>)                  \
  PASS("tokenLogprobsBackward", "forward", "f32", TokenLogprobsBackward, token_logprobs_backward<LogitF32>)\
  PASS("tokenLogprobsBackward", "forward", "bf16", TokenLogprobsBackward, token_logprobs_backward<LogitBf16>)\
  PASS("tokenLogprobsBackward", "forward", "f16", TokenLogprobsBackward, token_logprobs_backward<LogitF16>)\
  PASS("sequenceLogprobs", "forward", "f32", SequenceLogprobs, sequence_logprobs_forward)           \
  PASS("sequenceLogprobsBackward", "forward", "f32", SequenceLogprobsBackward, sequence_logprobs_backward)\
  PASS("tokenRewards", "forward", "f32", TokenRewards, token_rewards_forward)                       \
  PASS("gae", "forward", "f32", Gae, gae_forward)                                                   \
  PASS("whiten", "moments", "f32", Whiten, whiten_moments)                                          \
  PASS("whiten", "combine", "f32", Whiten, whiten_combine)                                          \
  PASS("whiten", "forward", "f32", Whiten, whiten_forward)                                          \
  PASS("ppoPolicyLoss", "prepare", "f32", PpoPolicyLoss, ppo_policy_loss_prepare)                   \
  PASS("ppoPolicyLoss", "coefficients", "f32", PpoPolicyLoss, ppo_policy_loss_coefficients)         \
  PASS("ppoPolicyLoss", "terms", "f32", PpoPolicyLoss, ppo_policy_loss_terms)                       \
  PASS("ppoPolicyLoss", "finish", "f32", PpoPolicyLoss, ppo_policy_loss_finish)                     \
  PASS("klPenalty", "prepare", "f32", KlPenalty, kl_penalty_prepare)                                \
  PASS("klPenalty", "coefficients", "f32", KlPenalty, kl_penalty_coefficients)                      \
  PASS("klPenalty", "terms", "f32", KlPenalty, kl_penalty_terms)                                    \
  PASS("klPenalty", "finish", "f32", KlPenalty, kl_penalty_finish)                                  \
  PASS("ppoValueLoss", "prepare", "f32", PpoValueLoss, ppo_value_loss_prepare)                      \
  PASS("ppoValueLoss", "coefficients", "f32", PpoValueLoss, ppo_value_loss_coefficients)            \
  PASS("ppoValueLoss", "terms", "f32", PpoValueLoss, ppo_value_loss_terms)                          \
  PASS("ppoValueLoss", "finish", "f32", PpoValueLoss, ppo_value_loss_finish)                        \
  PASS("bradleyTerryLoss", "terms", "f32", BradleyTerryLoss, bradley_terry_loss_terms)              \
  PASS("bradleyTerryLoss", "finish", "f32", BradleyTerryLoss, bradley_terry_loss_finish)            \
  PASS("dpoLoss", "terms", "f32", DpoLoss, dpo_loss_terms)                                          \
  PASS("dpoLoss", "finish", "f32", DpoLoss, dpo_loss_finish)                                        \
  PASS("gradNorm", "partials", "f32", GradNorm, grad_norm_partials)                                 \
  PASS("gradNorm", "finish", "f32", GradNorm, grad_norm_finish)                                     \
  PASS("adamw", "scan", "f32", Adamw, adamw_scan)                                                   \
  PASS("adamw", "prepare", "f32", Adamw, adamw_prepare)                                             \
  PASS("adamw", "update", "f32", Adamw, adamw_update)                                               \
  PASS("adamw", "finish", "f32", Adamw, adamw_finish)                                               \
  PASS("embedding", "forward", "f32", Embedding, embedding_forward)                                 \
  PASS("embeddingBackward", "sort", "f32", EmbeddingBackward, embedding_backward_sort)              \
  PASS("embeddingBackward", "forward", "f32", EmbeddingBackward, embedding_backward_add)        \
  PASS("linear", "forward", "f32", Linear, linear_forward)                                          \
  PASS("linearBackward", "gradX", "f32", LinearBackward, linear_grad_x)                             \
  PASS("linearBackward", "gradWeight", "f32", LinearBackward, linear_grad_weight)                   \
  PASS("linearBackward", "gradBias", "f32", LinearBackward, linear_grad_bias)                       \
  PASS("rmsNorm", "forward", "f32", RmsNorm, rms_norm_forward)                                      \
  PASS("rmsNormBackward", "rows", "f32", RmsNormBackward, rms_norm_backward_rows)                   \
  PASS("rmsNormBackward", "finish", "f32", RmsNormBackward, rms_norm_backward_finish)               \
  PASS("rotary", "forward", "f32", Rotary, rotary_forward)                                          \
  PASS("rotaryAttention", "angles", "f32", RotaryAttention, rotary_attention_angles)                \
  PASS("rotaryAttention", "forward", "f32", RotaryAttention, rotary_attention_forward)              \
  PASS("rotaryAttentionBackward", "angles", "f32", RotaryAttentionBackward, rotary_attention_backward_angles)\
  PASS("rotaryAttentionBackward", "forward", "f32", RotaryAttentionBackward, rotary_attention_backward)\
  PASS("swiglu", "forward", "f32", Swiglu, swiglu_forward)                                          \
  PASS("swigluBackward", "forward", "f32", SwigluBackward, swiglu_backward)                         \
  PASS("add", "forward", "f32", Add, add_forward)                                                   \
  PASS("axpy", "forward", "f32", Axpy, axpy_forward)                                                \
  PASS("fill", "forward", "f32", Fill, fill_forward)                                                \
  PASS("copy", "forward", "f32", Copy, copy_forward)                                                \
  PASS("cast", "forward", "f32", Cast, cast_forward<CastF32>)                                       \
  PASS("cast", "forward", "bf16", Cast, cast_forward<CastBf16>)                                     \
  PASS("cast", "forward", "f16", Cast, cast_forward<CastF16>)                                       \
  PASS("gatherRows", "forward", "f32", GatherRows, gather_rows_forward)                             \
  PASS("gatherRowsBackward", "sort", "f32", GatherRowsBackward, gather_rows_backward_sort)          \
  PASS("gatherRowsBackward", "forward", "f32", GatherRowsBackward, gather_rows_backward_add)    \
  PASS("scatterRows", "forward", "f32", ScatterRows, scatter_rows)                                  \
  PASS("poolRows", "forward", "f32", PoolRows, pool_rows_forward)                                   \
  PASS("poolRowsBackward", "forward", "f32", PoolRowsBackward, pool_rows_backward) \
  PASS("sampleTokens", "forward", "f32", SampleTokens, sample_tokens)

#define PREFGRAD_CUDA_OPS(OP)                                                                       \
  OP("tokenLogprobs", TokenLogprobs)                                                                \
  OP("tokenLogprobsBackward", TokenLogprobsBackward)                                                \
  OP("sequenceLogprobs", SequenceLogprobs)                                                          \
  OP("sequenceLogprobsBackward", SequenceLogprobsBackward)                                          \
  OP("tokenRewards", TokenRewards)                                                                  \
  OP("gae", Gae)                                                                                    \
  OP("whiten", Whiten)                                                                              \
  OP("ppoPolicyLoss", PpoPolicyLoss)                                                                \
  OP("klPenalty", KlPenalty)                                                                        \
  OP("ppoValueLoss", PpoValueLoss)                                                                  \
  OP("bradleyTerryLoss", BradleyTerryLoss)                                                          \
  OP("dpoLoss", DpoLoss)                                                                            \
  OP("gradNorm", GradNorm)                                                                          \
  OP("adamw", Adamw)                                                                                \
  OP("embedding", Embedding)                                                                        \
  OP("embeddingBackward", EmbeddingBackward)                                                        \
  OP("linear", Linear)                                                                              \
  OP("linearBackward", LinearBackward)                                                              \
  OP("rmsNorm", RmsNorm)                                                                            \
  OP("rmsNormBackward", RmsNormBackward)                                                            \
  OP("rotary", Rotary)                                                                              \
  OP("rotaryAttention", RotaryAttention)                                                            \
  OP("rotaryAttentionBackward", RotaryAttentionBackward)                                            \
  OP("swiglu", Swiglu)                                                                              \
  OP("swigluBackward", SwigluBackward)                                                              \
  OP("add", Add)                                                                                    \
  OP("axpy", Axpy)                                                                                  \
  OP("fill", Fill)                                                                                  \
  OP("copy", Copy)                                                                                  \
  OP("cast", Cast)                                                                                  \
  OP("gatherRows", GatherRows)                                                                      \
  OP("gatherRowsBackward", GatherRowsBackward)                                                      \
  OP("scatterRows", ScatterRows)                                                                    \
  OP("poolRows", PoolRows)                                                                          \
  OP("poolRowsBackward", PoolRowsBackward)                                                          \
  OP("sampleTokens", SampleTokens)
// clang-format on
