import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { openDatabase } from '../../../../src/io/db/open-database.ts'
import { beginReplacement } from '../../../../src/io/db/replace-database.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'

test('two restores within one second keep both of the databases that they replace', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-replace-'))
  try {
    const file = path.join(directory, 'cv_data.sqlite')
    await (await openDatabase<unknown>(file, 'verifier', VERIFIER_MIGRATIONS)).destroy()
    const restore = async (at: number) => {
      const replacement = await beginReplacement(file, VERIFIER_MIGRATIONS.length, at)
      const kept = await replacement.swap()
      await replacement.close()
      return kept!
    }
    const kept = [await restore(1_700_000_000_100), await restore(1_700_000_000_900)]
    expect(new Set(kept).size).toBe(2)
    expect(kept.map((name) => fs.existsSync(name))).toEqual([true, true])
  } finally {
    fs.rmSync(directory, { recursive: true })
  }
})
