import { readdirSync } from 'node:fs'
import path from 'node:path'
import { corpusFile, corpusOf, findingsDirectory, findingsOf } from '../../fuzz/corpus.ts'
import { pumped } from '../../fuzz/exercise.ts'
import { NATIVE_TARGETS } from '../../fuzz/fuzz-native.ts'
import { TARGETS } from '../../fuzz/targets.ts'

const targets = Object.entries(TARGETS)
const root = path.resolve(import.meta.dirname, '../..')

test.each(targets)(
  '%s keeps to what it promises on its seeds, on what fuzzing found interesting, and on what it once got wrong',
  async (name, target) => {
    const seeds = target.seeds().map((input, i) => ({ name: `seed ${i + 1}`, input: Buffer.from(input) }))
    const mayBeLong = target.isTimed === false ? [] : seeds
    const longer = mayBeLong
      .filter(({ input }) => input.length > 0)
      .map(({ name: seed, input }, i) => ({ name: `${seed}, pumped`, input: pumped(input, i) }))
    for (const { name: which, input } of [...seeds, ...longer, ...corpusOf(name), ...findingsOf(name)]) {
      try {
        await target.run(input)
      } catch (cause) {
        throw new Error(`${which}: ${(cause as Error).message}`, { cause })
      }
    }
  },
)

test('each target has a file of its name, and nothing is kept for one that is not there', () => {
  const files = readdirSync(path.join(root, 'fuzz/targets')).map((file) => path.basename(file, '.ts'))
  for (const [name] of targets) expect(files).toContain(name)
  const kept = [...readdirSync(path.dirname(corpusFile(''))), ...readdirSync(path.dirname(findingsDirectory('x')))]
  expect(kept.map((file) => path.basename(file, '.txt')).filter((name) => !(name in TARGETS) && !NATIVE_TARGETS.includes(name))).toEqual([])
})
