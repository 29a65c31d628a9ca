import { wordsIn } from '../../../docs/check-words.ts'
import { commandTree } from '../../../src/command-tree.ts'
import { allCommands, type CommandNode } from '../../../src/core/cli/command-tree.ts'
import { manualPages } from '../../../src/tools/man/pages.ts'

/** Everything that the help, the manual and the completions say of a command. */
const textsOf = ({ describe, purpose, examples, options, places }: CommandNode): string[] => [
  describe,
  purpose,
  ...examples.map(([, does]) => does),
  ...[...options, ...places].map((each) => each.describe),
]

test('help, manual and completions use none of the words that we do not use', async () => {
  const commands = allCommands(await commandTree())
  const texts = commands.flatMap((command) => textsOf(command).map((text) => ({ of: command.path.join(' '), text })))
  expect(texts.length).toBeGreaterThan(400)
  const wrong = texts.flatMap(({ of, text }) =>
    wordsIn(text).map(({ found, better }) => `${of}: "${text}": for "${found}" write: ${better}`),
  )
  expect(wrong).toEqual([])
})

test('the pages of the manual use none of them either', async () => {
  const pages = manualPages(await commandTree(), { version: '0', date: '2026-01-01' })
  const wrong = [...pages].flatMap(([name, text]) =>
    wordsIn(text.replaceAll('\n', ' ')).map(({ found, better }) => `${name}: for "${found}" write: ${better}`),
  )
  expect(pages.size).toBeGreaterThan(15)
  expect(wrong).toEqual([])
})
