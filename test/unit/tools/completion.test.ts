import { commandTree } from '../../../src/command-tree.ts'
import { allCommands } from '../../../src/core/cli/command-tree.ts'
import { kindOfOption, kindOfPlace } from '../../../src/core/cli/value-kinds.ts'
import { bashScript } from '../../../src/tools/completion/bash-script.ts'
import { fishScript } from '../../../src/tools/completion/fish-script.ts'
import { shellModel } from '../../../src/tools/completion/shell-model.ts'
import { zshScript } from '../../../src/tools/completion/zsh-script.ts'

const tree = await commandTree()
const commands = allCommands(tree)
const model = shellModel(tree, { agent: ['uuid', 'ip'] })

test('every option and every place that takes a value says what kind of value', () => {
  const unknown = commands.flatMap((command) => [
    ...command.options.filter((option) => kindOfOption(option) === undefined).map(({ flags }) => `${command.path.join(' ')} ${flags[0]}`),
    ...command.places
      .filter((place, i) => !(command.wordsShareOptions && i === 0) && kindOfPlace(place) === undefined)
      .map(({ name }) => `${command.path.join(' ')} <${name}>`),
  ])
  expect(unknown).toEqual([])
})

test('the tree has words that share options, words with their own, and words below words', () => {
  const at = (path: string) => commands.find((command) => command.path.join(' ') === path)
  expect(at('keylime tenant list')?.options.map(({ flags }) => flags[0])).toEqual(expect.arrayContaining(['--csv', '--uuid', '--help']))
  expect(at('keylime tenant list')?.options.map(({ flags }) => flags[0])).not.toContain('--file')
  expect(at('keylime tenant reglist')?.places).toEqual([])
  expect(at('keylime ca create')?.options.find(({ flags }) => flags[0] === '--role')?.choices).toContain('operator')
  expect(at('keylime policy create runtime')?.options.find(({ flags }) => flags.includes('-o'))).toMatchObject({ value: 'required' })
  expect(at('keylime verifier audit show')?.places).toMatchObject([{ name: 'files', several: true, required: false }])
  expect(at('keylime tenant')?.options.find(({ flags }) => flags.includes('-tp'))).toMatchObject({ flags: ['--targetport', '-tp'] })
  expect(at('keylime tenant add')?.options.map(({ flags }) => flags.join())).not.toContain('--verifier-check') // hidden
})

test.each([
  ['bash', bashScript(model)],
  ['zsh', zshScript(model)],
  ['fish', fishScript(model)],
])('each word and each option of each command is in the script of %s', (shell, script) => {
  const isIn = (flag: string) =>
    shell !== 'fish'
      ? new RegExp(`[' ]${flag}[' :]`).test(script)
      : new RegExp(` ${flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-[so] ${flag.slice(1)}`} `).test(script)
  const missing = model.commands.flatMap(({ path, words, options }) => [
    ...words.filter(({ word }) => !new RegExp(`[' ]${word}[' :]`).test(script)).map(({ word }) => `${path} ${word}`),
    ...options.flatMap(({ flags }) => flags.filter((flag) => !isIn(flag))).map((flag) => `${path} ${flag}`),
  ])
  expect(missing).toEqual([])
})
