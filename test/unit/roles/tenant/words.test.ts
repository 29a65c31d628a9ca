import { optionsOfCommand } from '../../../../src/roles/tenant/faces/options-of-command.ts'
import { examplesOf, optionTexts, usageText } from '../../../../src/roles/tenant/faces/words.ts'
import { COMMANDS } from '../../../../src/roles/tenant/tenant-options.ts'

test.each(COMMANDS)('the help of %s speaks of that word alone', (word) => {
  const others = COMMANDS.filter((other) => other !== word)
  const usage = usageText(word)
  expect(usage).toMatch(new RegExp(`^[A-Z][^\n]*\\.\n\nUsage: keylime tenant ${word} \\[options\\]$`))
  for (const other of others) expect(usage.split('\n').at(-1)).not.toContain(` ${other} `)
  for (const [line] of examplesOf(word)) for (const other of others) expect(line.split(' ')[2]).not.toBe(other)
  const { wait, many, all } = optionTexts(word)
  expect([many, all].join(' ')).not.toMatch(/with explain|add, update/)
  const used = optionsOfCommand(word)
  if (used.includes('wait') && !used.includes('file')) expect(wait).not.toMatch(/payload/)
})

test('the help of the whole has a line for each word, and examples', () => {
  for (const word of COMMANDS) expect(usageText(undefined)).toMatch(new RegExp(`^  ${word} +\\S`, 'm'))
  expect(examplesOf(undefined).length).toBeGreaterThan(5)
})
