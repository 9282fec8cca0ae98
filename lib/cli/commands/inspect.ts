import { type Inspection, inspect } from '../../open.ts'
import type { Context } from '../context.ts'
import { describePath } from '../describe.ts'

/** `prefgrad inspect`. */
export const run = async ({ values, reporter }: Context<'inspect'>): Promise<void> => {
  for (const path of values.paths) {
    const { kind, text, ...facts } = await describePath(path)
    reporter.record(kind, { path, ...facts }, `${path}: ${text}`)
  }
  if (values.paths.length > 0) return
  const found = await inspect()
  reporter.record('inspection', found, describe(found))
}

const describe = ({ version, node, platform, devices, chosen, cpu }: Inspection): string => {
  const rows = devices.map(({ name, available, why }) => {
    const detail = name === 'cpu' && cpu !== undefined ? describeCpu(cpu) : (why ?? '')
    return `  ${name.padEnd(8)}${(available ? 'yes' : 'no').padEnd(5)}${detail}`.trimEnd()
  })
  return [`prefgrad ${version}, Node ${node}, ${platform}`, ...rows, `chosen: ${chosen ?? 'none'}`].join('\n')
}

const describeCpu = ({ isa, isas, threads, kernels }: NonNullable<Inspection['cpu']>): string =>
  `${isa} (of ${isas.join(', ')}), ${threads} threads, ${kernels} kernels`
