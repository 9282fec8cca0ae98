/** The op table against everything that is written beside it: the addon, the kernels' headers, exports, references and tests. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { plans } from '../kernels/plans.ts'
import { wgsl } from '../kernels/wgsl.ts'
import { loadAddon } from '../lib/backends/native.ts'
import { textOf as wgslOf } from '../lib/backends/webgpu/pipelines.ts'
import { compareWithTable } from '../lib/handshake.ts'
import * as library from '../lib/ops.ts'
import { layoutOf } from '../lib/options.ts'
import { lettersOf } from '../lib/shapes.ts'
import type { Dtype, OpSpec } from '../lib/spec/schema.ts'
import { references } from './reference/index.ts'
import { root, textOf } from './root.ts'
import { opNames, rows } from './run_op.ts'

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
/** A gradient's files may be those of its forward op. */
const forwardOf = (name: string): string => name.replace(/Backward$/, '')

test('the addon has exactly the kernels of the table, with its words and pointers', () => {
  assert.deepEqual(compareWithTable(loadAddon().kernels), [])
})

test('the handshake names every difference', () => {
  const { kernels } = loadAddon()
  const [first, second, ...others] = kernels
  const key = ({ op, pass, dtype }: typeof first) => `${op}.${pass}.${dtype}`
  assert.deepEqual(compareWithTable([second, ...others]), [`the addon has no ${key(first)}`])
  assert.deepEqual(compareWithTable([...kernels, { ...first, op: 'unheardOf' }]), [
    `the table has no unheardOf.${first.pass}.${first.dtype}`,
  ])
  const { words, pointers } = second
  assert.deepEqual(compareWithTable([first, { ...second, words: words + 1 }, ...others]), [
    `${key(second)} takes ${words + 1} words and ${pointers} pointers, and the table has ${words} and ${pointers}`,
  ])
  assert.deepEqual(compareWithTable([...kernels, first]), ['the addon lists a kernel twice'])
})

test('every call fits the block that the addon reads, and both sides divide it alike', () => {
  const constants = (text: string): Record<string, number> =>
    Object.fromEntries(
      [...text.matchAll(/\b(k[A-Z]\w*|[A-Z_]{4,}) = (\d+)/g)].map(([, name, value]) => [
        name.startsWith('k') && name[1] !== name[1].toLowerCase() ? snake(name).slice(2).toUpperCase() : name,
        Number(value),
      ]),
    )
  const [native, script] = ['native/addon.cc', 'lib/backends/native.ts'].map((path) => constants(textOf(path)))
  for (const name of [
    'PASS_COUNT',
    'WORDS',
    'POINTERS',
    'WORKSPACE_BYTES',
    'PROBLEM',
    'PROBLEM_INDEX',
    'PASSES',
    'TABLE',
    'ARGS',
    'MAX_WORDS',
  ]) {
    assert.ok(script[name] !== undefined, `${name} is a constant of native.ts`)
    assert.equal(script[name], native[name], name)
  }
  for (const name of opNames) {
    const { words, pointers } = layoutOf(rows[name])
    assert.ok(words <= native.MAX_WORDS, `${name} has ${words} words`)
    assert.ok(pointers - 2 <= native.MAX_POINTERS, `${name} has ${pointers} pointers`)
    assert.ok(rows[name].passes.length <= native.MAX_PASSES, `${name} has too many passes`)
  }
})

const C_TYPES: Readonly<Record<Dtype, string>> = {
  f32: 'float',
  bf16: 'uint16_t',
  f16: 'uint16_t',
  i32: 'int32_t',
  u8: 'uint8_t',
}

/** The fields that a row's argument struct must have, as `type name`; kernels/common/args.h says the same in words. */
const expectedFields = (spec: OpSpec): string[] => {
  const tensors = [...Object.keys(spec.inputs), ...Object.keys(spec.outputs)]
  const options = Object.entries(spec.options).map(([name, { type }]) => {
    const word = type === 'number' ? 'double' : type === 'seed' ? 'uint64_t' : 'int64_t'
    // An option that asks for an output of its name.
    return `${word} ${snake(name)}${tensors.includes(name) ? '_wanted' : ''}`
  })
  const inputs = Object.entries(spec.inputs).map(([name, { dtypes = ['f32'], updated }]) => {
    const type = dtypes.length > 1 ? 'void' : C_TYPES[dtypes[0] as Dtype]
    return `${updated === true ? '' : 'const '}${type}* ${snake(name)}`
  })
  const outputs = Object.entries(spec.outputs).map(([name, { dtype = 'f32' }]) => {
    const type = typeof dtype === 'string' ? C_TYPES[dtype] : 'void'
    return `${type}* ${name in spec.inputs ? 'out_' : ''}${snake(name)}`
  })
  const accumulates = Object.values(spec.outputs).some((output) => output.gradient === true)
  return [
    'uint64_t present',
    ...lettersOf(spec).map((letter) => `int64_t ${letter}`),
    ...options,
    ...Object.keys(spec.derived ?? {}).map((name) => `double ${snake(name)}`),
    ...(accumulates ? ['int64_t accumulate'] : []),
    ...inputs,
    ...outputs,
    'workspace',
    'Fault* fault',
  ]
}

/** `const float *a, *b;` as `const float* a`, `const float* b`. The workspace may have any type. */
const fieldsOf = (body: string): string[] =>
  body
    .replace(/\/\/.*$/gm, '')
    .split(';')
    .map((statement) => statement.trim().replace(/\s+/g, ' '))
    .filter((statement) => statement !== '' && !statement.startsWith('static '))
    .flatMap((statement) => {
      const [, type, names] = /^((?:const )?\w+)\b\s*(.*)$/.exec(statement)!
      return names.split(',').map((declarator) => {
        const [, star, name] = /^\s*(\*?)\s*(\w+)$/.exec(declarator)!
        return name === 'workspace' ? name : `${type}${star} ${name}`
      })
    })

/** The argument struct of each op, from kernels/ops.h. */
const structs = new Map(
  [...textOf('kernels/ops.h').matchAll(/PASS\("(\w+)", "\w+", "\w+", (\w+),/g)].map(([, op, struct]) => [op, struct]),
)

const structOf = (name: string): { path: string; body: string } => {
  const folder = [snake(name), snake(forwardOf(name))].find((one) => existsSync(join(root, 'kernels', one)))
  assert.ok(folder !== undefined, `kernels/${snake(name)} is there`)
  for (const file of readdirSync(join(root, 'kernels', folder)).filter((one) => /^\w+\.h$/.test(one))) {
    const path = `kernels/${folder}/${file}`
    const found = new RegExp(`struct ${structs.get(name)} \\{([^}]*)\\};`).exec(textOf(path))
    if (found !== null) return { path, body: found[1] }
  }
  return assert.fail(`no header in kernels/${folder} declares struct ${structs.get(name)}`)
}

for (const name of opNames) {
  const spec = rows[name]

  test(`${name}: the argument struct has the row's fields in the row's order`, () => {
    const { path, body } = structOf(name)
    const expected = expectedFields(spec)
    const declaration = expected.map((field) => `  ${field};`).join('\n')
    assert.deepEqual(fieldsOf(body), expected, `${path} must declare struct ${structs.get(name)} as\n${declaration}`)
  })

  test(`${name}: reference, worked numbers, and an export that says what the row says`, () => {
    assert.ok(name in references, `test/reference has ${name}`)
    for (const [key, { reason }] of Object.entries(references[name].tolerances)) assert.match(reason, /\w/, key)
    const file = [name, forwardOf(name)]
      .map((one) => `test/${snake(one)}.test.ts`)
      .find((one) => existsSync(join(root, one)))
    assert.ok(file !== undefined, `test/${snake(name)}.test.ts has the worked numbers`)
    assert.match(textOf(file), new RegExp(`\\b${name}\\(`), `${file} calls ${name}`)

    const op = (library as Record<string, unknown>)[name] as { prepare: unknown } | undefined
    assert.equal(typeof op, 'function', `lib/ops.ts exports ${name}`)
    assert.equal(typeof op?.prepare, 'function')
    const comment = new RegExp(`/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\nexport const ${name} = op\\('${name}'\\)`).exec(
      textOf('lib/ops.ts'),
    )
    assert.ok(comment !== null, `lib/ops.ts documents ${name}`)
    const said = comment[1].replace(/^\s*\* ?/gm, '')
    assert.ok(said.includes(spec.doc), `the comment of ${name} must say: ${spec.doc}`)
    assert.ok(said.includes(`Source: ${spec.source}`), `the comment of ${name} must say: Source: ${spec.source}`)
  })

  test(`${name}: the row is whole`, () => {
    const { inputs, outputs, options } = spec
    const parts = { ...inputs, ...outputs, ...options, [name]: spec }
    for (const [key, { doc }] of Object.entries(parts)) assert.match(doc, /^\S.*[.)]$/s, `${key}: doc is a sentence`)
    for (const [key, output] of Object.entries(outputs)) {
      const { when, dtype, stats, shape } = output
      if (when !== undefined) assert.ok(when in inputs || when in options, `${key}: when '${when}'`)
      if (typeof dtype === 'object') assert.ok('as' in dtype ? dtype.as in inputs : dtype.option in options, key)
      for (const input of output.inPlaceOf ?? []) assert.ok(input in inputs, `${key}: in place of '${input}'`)
      if (stats !== undefined) assert.deepEqual(shape, [Object.keys(stats.slots).length], `${key}: one number a slot`)
    }
    for (const [key, option] of Object.entries(options)) {
      if (option.type === 'enum')
        assert.ok(option.values.includes(option.default), `${key}: default '${option.default}'`)
      if (option.type === 'enum') assert.equal(new Set(option.values).size, option.values.length, key)
    }
    for (const [letter, option] of Object.entries(spec.dimsFrom ?? {})) {
      assert.equal(options[option]?.type, 'integer', `${letter} comes from ${option}`)
    }
    assert.equal(new Set(spec.passes.map((pass) => pass.name)).size, spec.passes.length)
  })
}

test('lib/ops.ts exports no op that the table lacks', () => {
  const exported = [...textOf('lib/ops.ts').matchAll(/^export const (\w+) = op\('(\w+)'\)$/gm)]
  assert.deepEqual(exported.map(([, name]) => name).sort(), [...opNames].sort())
  for (const [, name, row] of exported) assert.equal(name, row)
})

test('no reference is left over, and none looks at the library', () => {
  assert.deepEqual(Object.keys(references).sort(), [...opNames].sort())
  for (const folder of ['test/reference', 'test/reference/model']) {
    for (const file of readdirSync(join(root, folder)).filter((one) => one.endsWith('.ts'))) {
      assert.doesNotMatch(textOf(`${folder}/${file}`), /from '(\.\.\/)+(lib|kernels)\//, `${folder}/${file}`)
    }
  }
})

test('every op has WGSL kernels, and every plan an op', () => {
  assert.deepEqual(Object.keys(plans).sort(), [...opNames].sort())
  for (const [op, { passes, include = [] }] of Object.entries(plans)) {
    const text = wgslOf(op)
    assert.ok(text !== undefined, `kernels/ has no .wgsl file of ${op}`)
    for (const file of include) assert.ok(file in wgsl, `${op} includes ${file}`)
    const all = include.map((file) => wgsl[file]).join('') + text
    for (const { entry } of passes) assert.match(all, new RegExp(`\\bfn ${entry}\\(`), `${op} has no fn ${entry}`)
  }
})
