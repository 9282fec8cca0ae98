// Prints the README's op table from the rows of lib/spec: `node scripts/op_table.js`. test/readme.test.ts compares the two.
import { table } from '../dist/lib/index.js'

const families = [
  ['Log-probabilities', ['tokenLogprobs', 'sequenceLogprobs']],
  ['Rewards and advantages', ['tokenRewards', 'gae', 'whiten']],
  ['Policy and value losses', ['ppoPolicyLoss', 'klPenalty', 'ppoValueLoss']],
  ['Reward models', ['bradleyTerryLoss']],
  ['Preference losses', ['dpoLoss']],
  ['Optimizer', ['gradNorm', 'adamw']],
]

/** The table as lines of Markdown; ops of the built-in policy are one line. */
export const opTable = () => {
  const lines = ['| op | what it does | source |', '| --- | --- | --- |']
  const named = new Set()
  for (const [family, names] of families) {
    lines.push(`| **${family}** | | |`)
    for (const name of names) {
      const backward = `${name}Backward` in table ? `, \`${name}Backward\`` : ''
      lines.push(
        `| \`${name}\`${backward} | ${table[name].doc} | ${table[name].source.split(';')[0].replaceAll('|', '\\|')} |`,
      )
      named.add(name).add(`${name}Backward`)
    }
  }
  const rest = Object.keys(table).filter((name) => !named.has(name))
  lines.push(
    "| **The built-in policy's ops** | | |",
    `| ${rest.map((name) => `\`${name}\``).join(', ')} | What a small transformer is made of, forward and backward. | |`,
  )
  return lines
}

if (process.argv[1]?.endsWith('op_table.js')) console.log(opTable().join('\n'))
