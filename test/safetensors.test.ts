import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { PrefgradError } from '../lib/errors.ts'
import {
  readSafetensors,
  type SafetensorsDtype,
  type SafetensorsInput,
  safetensorsChunks,
  writeSafetensors,
} from '../lib/model/safetensors.ts'
import { SAFETENSORS_DTYPES } from '../lib/model/safetensors_dtypes.ts'

const folder = mkdtempSync(join(tmpdir(), 'prefgrad-safetensors-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** A file made by hand, so that reader and writer cannot share a mistake. */
function fileOf(header: string | Uint8Array, data = new Uint8Array(0), claimed?: bigint): Uint8Array {
  const text = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(claimed ?? BigInt(text.length))
  return Buffer.concat([length, text, data])
}

const refusal = (reason: RegExp, index?: number) => (error: unknown) => {
  assert.ok(error instanceof PrefgradError, String(error))
  assert.equal(error.code, 'ERR_FILE')
  assert.match(error.message, reason)
  assert.equal(typeof error.index, 'number')
  if (index !== undefined) assert.equal(error.index, index, error.message)
  return true
}

const bytesOf = ({ data }: SafetensorsInput) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)

test('a file made by hand is read as the format says', () => {
  const header = '{"__metadata__":{"by":"hand"},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]},'
  const rest = '"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}  \n'
  const data = Buffer.from([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 7, 8, 9])
  const { tensors, metadata } = readSafetensors(fileOf(header + rest, data))
  assert.deepEqual([...tensors.keys()], ['a', 'b'])
  assert.deepEqual(tensors.get('a'), { dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, -2) })
  assert.deepEqual(tensors.get('b'), { dtype: 'U8', shape: [3], data: Uint8Array.of(7, 8, 9) })
  assert.deepEqual([...metadata], [['by', 'hand']])
})

test('the writer gives these bytes: padded header, wider types first, data in order', () => {
  const chunks = safetensorsChunks(
    {
      u: { dtype: 'U8', shape: [1], data: Uint8Array.of(5) },
      f: { dtype: 'F32', shape: [], data: Float32Array.of(1) },
    },
    { k: 'é' },
  )
  const header =
    '{"__metadata__":{"k":"é"},"f":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"u":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}}'
  const size = Buffer.byteLength(header)
  const padding = ' '.repeat((8 - (size % 8)) % 8)
  const expected = fileOf(header + padding, Buffer.from([0, 0, 0x80, 0x3f, 5]))
  assert.deepEqual(Buffer.concat(chunks), expected)
  assert.equal(chunks[0].length % 8, 0)
})

const dtypes = Object.keys(SAFETENSORS_DTYPES) as SafetensorsDtype[]
const anyTensor: fc.Arbitrary<SafetensorsInput> = fc
  .tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 3 }))
  .chain(([dtype, shape]) => {
    const { bytes, array } = SAFETENSORS_DTYPES[dtype]
    const size = shape.reduce((product, dimension) => product * dimension, bytes)
    return fc
      .uint8Array({ minLength: size, maxLength: size })
      .map((raw) => ({ dtype, shape, data: new array(raw.slice().buffer) }))
  })
const anyName = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('__proto__', 'constructor', 'toString', '', '"\\\n\u0000', '🌍'),
)

test('whatever is written is read back bit for bit, names like __proto__ included', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 6 }),
      fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })),
      (named, metadata) => {
        fc.pre(named.every(([name]) => name !== '__metadata__'))
        const file = Buffer.concat(safetensorsChunks(new Map(named), metadata))
        const content = readSafetensors(file)
        assert.equal(content.tensors.size, named.length)
        for (const [name, tensor] of named) {
          const found = content.tensors.get(name)
          assert.ok(found)
          assert.equal(found.dtype, tensor.dtype)
          assert.deepEqual(found.shape, tensor.shape)
          assert.ok(found.data instanceof SAFETENSORS_DTYPES[tensor.dtype].array)
          assert.ok(bytesOf(found).equals(bytesOf(tensor)))
        }
        assert.deepEqual([...content.metadata], Object.entries(metadata))
      },
    ),
  )
})

test('every tensor of a written file lies aligned to its element size', () => {
  const tensors = Object.fromEntries(
    [...dtypes].reverse().map((dtype) => [dtype, { dtype, shape: [3], data: new SAFETENSORS_DTYPES[dtype].array(3) }]),
  )
  const [header] = safetensorsChunks(tensors)
  const entries = JSON.parse(Buffer.from(header.subarray(8)).toString()) as Record<string, { data_offsets: number[] }>
  for (const dtype of dtypes) {
    assert.equal((header.length + entries[dtype].data_offsets[0]) % SAFETENSORS_DTYPES[dtype].bytes, 0, dtype)
  }
})

test('a file on disk is replaced whole, and the checksum hook sees every byte of it once and in order', () => {
  const path = join(folder, 'model.safetensors')
  writeFileSync(path, 'something older')
  const weights = Float32Array.from({ length: 1000 }, (_, i) => i / 7)
  writeSafetensors(path, { weights: { dtype: 'F32', shape: [10, 100], data: weights } }, { format: 'pt' })
  const pieces: Buffer[] = []
  const { tensors } = readSafetensors(path, { onBytes: (bytes) => pieces.push(Buffer.from(bytes)) })
  assert.deepEqual(tensors.get('weights')?.data, weights)
  assert.ok(Buffer.concat(pieces).equals(readFileSync(path)))
  assert.deepEqual(readdirSync(folder), ['model.safetensors'])
})

test('a tensor that does not fit its description is not written', () => {
  const one = Float32Array.of(1)
  const refused: [SafetensorsInput, string][] = [
    [{ dtype: 'F32', shape: [2], data: one }, 'ERR_SHAPE'],
    [{ dtype: 'F32', shape: [-1, -1], data: one }, 'ERR_SHAPE'],
    [{ dtype: 'F32', shape: [0.5, 2], data: one }, 'ERR_SHAPE'],
    [{ dtype: 'I32', shape: [1], data: one }, 'ERR_DTYPE'],
    [{ dtype: 'F8' as 'F32', shape: [1], data: one }, 'ERR_DTYPE'],
  ]
  for (const [tensor, code] of refused) assert.throws(() => safetensorsChunks({ tensor }), { code })
  for (const name of ['__metadata__', 'half \ud800']) {
    assert.throws(() => safetensorsChunks({ [name]: { dtype: 'F32', shape: [1], data: one } }), {
      code: 'ERR_ARGUMENT',
    })
  }
})

const F32 = (shape: string, offsets: string) => `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}}`
const GOOD = `{"a":${F32('[2]', '[0,8]')}}`

const REFUSED: [title: string, header: string | Uint8Array, dataSize: number, reason: RegExp, position?: number][] = [
  ['an empty header', '', 0, /“\{” must stand here/, 0],
  ['an array instead of an object', '[]', 0, /“\{” must stand here/, 0],
  ['text after the object', `${GOOD}x`, 8, /text follows/, GOOD.length],
  ['a NUL after the object', `${GOOD}\0`, 8, /text follows/, GOOD.length],
  ['a trailing comma', `{"a":${F32('[2]', '[0,8]')},}`, 8, /“"” must stand here/],
  ['an unfinished object', GOOD.slice(0, -1), 8, /“\}” must stand here/],
  ['a string without end', '{"a', 0, /does not end/, 1],
  ['a string that ends in a backslash', '{"a\\', 0, /does not end/, 1],
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x7d]), 0, /UTF-8/, 1],
  ['a control character in a string', '{"a\n":1}', 0, /UTF-8 and JSON/, 1],
  ['half a surrogate pair', '{"\\ud800":1}', 0, /surrogate/, 1],
  ['a key twice', `{"a":${F32('[2]', '[0,8]')},"a":${F32('[2]', '[8,16]')}}`, 16, /"a" comes twice/, GOOD.length],
  ['a key twice, once escaped', `{"a":${F32('[2]', '[0,8]')},"\\u0061":${F32('[2]', '[8,16]')}}`, 16, /comes twice/],
  ['a field twice', '{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8, /"dtype" comes twice/],
  ['metadata twice', `{"__metadata__":{},"__metadata__":{}}`, 0, /comes twice/],
  ['metadata that is no string', '{"__metadata__":{"a":1}}', 0, /“"” must stand here/],
  ['an unknown field', '{"a":{"dtype":"F32","x":1}}', 0, /unknown field "x"/],
  ['an unknown dtype', '{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}', 8, /dtype "F31"/],
  [
    'a dtype called like a method',
    '{"a":{"dtype":"toString","shape":[2],"data_offsets":[0,8]}}',
    8,
    /dtype "toString"/,
  ],
  ['no dtype', '{"a":{"shape":[2],"data_offsets":[0,8]}}', 8, /has no dtype/, 1],
  ['no shape', '{"a":{"dtype":"F32","data_offsets":[0,8]}}', 8, /has no shape/],
  ['no offsets', '{"a":{"dtype":"F32","shape":[2]}}', 8, /needs data_offsets/],
  ['three offsets', `{"a":${F32('[2]', '[0,8,8]')}}`, 8, /needs data_offsets/],
  ['a negative dimension', `{"a":${F32('[-2]', '[0,8]')}}`, 8, /integer of 0 or more/, 29],
  ['a fraction', `{"a":${F32('[2.5]', '[0,8]')}}`, 8, /must stand here/],
  ['an exponent', `{"a":${F32('[2e0]', '[0,8]')}}`, 8, /must stand here/],
  ['NaN', `{"a":${F32('[NaN]', '[0,8]')}}`, 8, /integer of 0 or more/],
  ['a leading zero', `{"a":${F32('[02]', '[0,8]')}}`, 8, /begins with 0/],
  ['a number as a string', `{"a":${F32('["2"]', '[0,8]')}}`, 8, /integer of 0 or more/],
  ['a number above 2^53', `{"a":${F32('[9007199254740992]', '[0,8]')}}`, 8, /exceeds 2\^53/],
  ['a product above 2^53', `{"a":${F32('[1073741824,1073741824]', '[0,8]')}}`, 8, /exceeds 2\^53/],
  [
    'an overflow hidden by a zero',
    `{"a":${F32('[9007199254740991,9007199254740991,0]', '[0,0]')}}`,
    0,
    /exceeds 2\^53/,
  ],
  ['a huge tensor in a small file', `{"a":${F32('[1099511627776]', '[0,4398046511104]')}}`, 8, /has only 8 bytes/],
  ['a size that disagrees', `{"a":${F32('[3]', '[0,8]')}}`, 8, /12 bytes, but spans 0 to 8/],
  ['offsets in reverse', `{"a":${F32('[2]', '[8,0]')}}`, 8, /spans 8 to 0/],
  ['an overlap', `{"a":${F32('[2]', '[0,8]')},"b":${F32('[2]', '[4,12]')}}`, 12, /"b" overlaps/],
  ['a hole', `{"a":${F32('[1]', '[0,4]')},"b":${F32('[1]', '[8,12]')}}`, 12, /bytes 4 to 8 .* belong to no tensor/],
  ['a hole at the start', `{"a":${F32('[1]', '[4,8]')}}`, 8, /bytes 0 to 4 .* belong to no tensor/],
  ['trailing bytes', GOOD, 9, /last 1 bytes of the file/],
  ['missing bytes', GOOD, 7, /ends at byte 8 of the data, which has only 7 bytes/],
]

for (const [title, header, dataSize, reason, position] of REFUSED) {
  test(`${title}: refused with the place and the reason`, () => {
    const file = fileOf(header, new Uint8Array(dataSize))
    assert.throws(() => readSafetensors(file), refusal(reason, position === undefined ? undefined : 8 + position))
  })
}

test('a header length beyond the file or beyond 100 MB is refused before memory is taken for it', () => {
  assert.throws(() => readSafetensors(fileOf(GOOD, new Uint8Array(8), 10_000n)), refusal(/claims 10000 bytes/, 0))
  for (const claimed of [100_000_001n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    assert.throws(() => readSafetensors(fileOf(GOOD, new Uint8Array(8), claimed)), refusal(/claims \d+ bytes/, 0))
  }
})

const SAMPLE = Buffer.concat(
  safetensorsChunks(
    {
      'layer.0.weight': { dtype: 'F32', shape: [2, 3], data: new Float32Array(6) },
      bias: { dtype: 'BF16', shape: [3], data: new Uint16Array(3) },
      empty: { dtype: 'I64', shape: [0], data: new BigInt64Array(0) },
    },
    { format: 'pt', note: 'π' },
  ),
)

test('every truncation is refused', () => {
  for (let size = 0; size < SAMPLE.length; size++) {
    assert.throws(
      () => readSafetensors(SAMPLE.subarray(0, size)),
      refusal(/not a valid safetensors file/),
      `${size} bytes`,
    )
  }
})

function assertRefusedOrSound(file: Uint8Array): void {
  let content: ReturnType<typeof readSafetensors>
  try {
    content = readSafetensors(file)
  } catch (error) {
    refusal(/not a valid safetensors file/)(error)
    return
  }
  let covered = 0
  for (const tensor of content.tensors.values()) {
    const { bytes, array } = SAFETENSORS_DTYPES[tensor.dtype]
    assert.ok(tensor.data instanceof array)
    const size = tensor.shape.reduce((product, dimension) => product * dimension, bytes)
    assert.equal(tensor.data.byteLength, size)
    covered += size
  }
  const headerSize = Number(Buffer.from(file).readBigUInt64LE(0))
  assert.equal(8 + headerSize + covered, file.length)
}

test('each single flipped bit of the header is refused or leaves a sound file', () => {
  const headerEnd = 8 + Number(SAMPLE.readBigUInt64LE(0))
  for (let bit = 0; bit < headerEnd * 8; bit++) {
    const file = Buffer.from(SAMPLE)
    file[bit >> 3] ^= 1 << (bit & 7)
    assertRefusedOrSound(file)
  }
})

test('random damage (bytes changed, cut out, doubled) is refused or leaves a sound file', () => {
  const edit = fc.tuple(fc.nat(SAMPLE.length - 1), fc.nat(12), fc.uint8Array({ maxLength: 12 }))
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      let file = Buffer.from(SAMPLE)
      for (const [at, removed, inserted] of edits) {
        file = Buffer.concat([file.subarray(0, at), inserted, file.subarray(at + removed)])
      }
      assertRefusedOrSound(file)
    }),
    { numRuns: 2000 },
  )
})

test('grammar-aware nonsense in the header is refused or leaves a sound file', () => {
  const word = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"dtype"',
    '"F32"',
    '"shape"',
    '"data_offsets"',
    '0',
    '8',
  )
  const pieces = fc.array(fc.oneof(word, fc.constantFrom(F32('[2]', '[0,8]'), '"__metadata__"', '"b":')), {
    maxLength: 12,
  })
  fc.assert(
    fc.property(pieces, (words) => assertRefusedOrSound(fileOf(words.join(''), new Uint8Array(8)))),
    { numRuns: 2000 },
  )
})

test('a missing file, a folder and a named pipe are refused with ERR_FILE', () => {
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  for (const path of [join(folder, 'missing'), folder, pipe]) {
    assert.throws(
      () => readSafetensors(path),
      (error) => error instanceof PrefgradError && error.code === 'ERR_FILE' && error.message.includes(path),
    )
  }
})
