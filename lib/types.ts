/** TypeScript types of a call, derived from its row. */
import type { ArrayOf, Dtype } from './dtype.ts'
import type { OpTable } from './spec/index.ts'
import type { EnumOption, InputSpec, OptionSpec, OutputSpec } from './spec/schema.ts'
import type { Tensor } from './tensor.ts'

type Simplify<T> = { [K in keyof T]: T[K] } & {}

type DtypesOf<I> = I extends { dtypes: readonly (infer D extends Dtype)[] } ? D : 'f32'
/** Token ids may also come as u32 or i64; they are checked and narrowed. */
type PlainOf<D extends Dtype> =
  | ArrayOf[Exclude<D, 'bf16' | 'f16'>]
  | (D extends 'i32' ? Uint32Array | BigInt64Array : never)

/** What an input takes: a tensor, a 1-D typed array, or a typed array with its shape (and dtype, for 16-bit floats). */
export type TensorLike<D extends Dtype = Dtype> =
  | Tensor<D>
  | PlainOf<D>
  | { data: ArrayOf[D] | PlainOf<D>; shape: readonly number[]; dtype?: Dtype }

type OptionalKeys<T> = { [K in keyof T]: T[K] extends { optional: true } ? K : never }[keyof T]
type Specs<T> = Readonly<Record<string, T>>

export type InputsOf<S extends { inputs: Specs<InputSpec> }> = Simplify<
  { [K in Exclude<keyof S['inputs'], OptionalKeys<S['inputs']>>]: TensorLike<DtypesOf<S['inputs'][K]>> } & {
    [K in OptionalKeys<S['inputs']>]?: TensorLike<DtypesOf<S['inputs'][K]>> | undefined
  }
>

type OptionValue<O> = O extends { type: 'enum'; values: readonly (infer V)[] }
  ? V
  : O extends { type: 'boolean' }
    ? boolean
    : O extends { type: 'seed' }
      ? number | bigint
      : number
type RequiredOptions<T> = { [K in keyof T]: T[K] extends { required: true } ? K : never }[keyof T]
type GradientKeys<T> = { [K in keyof T]: T[K] extends { gradient: true } ? K : never }[keyof T]

export type OptionsOf<S extends { options: Specs<OptionSpec>; outputs: Specs<OutputSpec> }> = Simplify<
  { [K in RequiredOptions<S['options']>]: OptionValue<S['options'][K]> } & {
    [K in Exclude<keyof S['options'], RequiredOptions<S['options']>>]?: OptionValue<S['options'][K]> | undefined
  } & ([GradientKeys<S['outputs']>] extends [never]
      ? unknown
      : {
          /** Add to what `out` holds: all gradient outputs, or those named. */
          accumulate?: boolean | readonly GradientKeys<S['outputs']>[]
        })
>

export type DynamicOptionsOf<S extends { options: Specs<OptionSpec> }> = {
  [K in keyof S['options'] as S['options'][K] extends { dynamic: true } ? K : never]?: OptionValue<S['options'][K]>
}

type OutputDtype<O> = O extends { dtype: infer D } ? (D extends Dtype ? D : Dtype) : 'f32'
type WhenKeys<T> = { [K in keyof T]: T[K] extends { when: string } ? K : never }[keyof T]

export type OutputsOf<S extends { outputs: Specs<OutputSpec> }> = Simplify<
  { [K in Exclude<keyof S['outputs'], WhenKeys<S['outputs']>>]: Tensor<OutputDtype<S['outputs'][K]>> } & {
    [K in WhenKeys<S['outputs']>]?: Tensor<OutputDtype<S['outputs'][K]>>
  }
>

/** Tensors (or typed arrays) to write into, by output name. */
export type OutOf<S extends { outputs: Specs<OutputSpec> }> = {
  [K in keyof S['outputs']]?: TensorLike
}

export type SpecOf<N extends keyof OpTable> = OpTable[N]
export type { EnumOption }
