import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { migrateRegistrar } from '../../../../src/io/db/migrate-registrar.ts'
import { migrateVerifier } from '../../../../src/io/db/migrate-verifier.ts'
import { openDatabase } from '../../../../src/io/db/open-database.ts'
import { REGISTRAR_MIGRATIONS } from '../../../../src/io/db/registrar-schema.ts'
import { VERIFIER_MIGRATIONS } from '../../../../src/io/db/verifier-schema.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-of-root-'))
afterAll(() => fs.rmSync(directory, { recursive: true }))
const file = (name: string) => ({ place: path.join(directory, name), marked: path.join(directory, name) })

const testAsRoot = process.getuid?.() === 0 ? test : test.skip

testAsRoot(
  'a file that root moves a verifier’s or a registrar’s data into belongs to the owner of its directory, with what is beside it',
  async () => {
    const home = path.join(directory, 'of-service')
    fs.mkdirSync(home)
    fs.chownSync(home, 65534, 65533)
    for (const [name, move, migrations] of [
      ['verifier', migrateVerifier, VERIFIER_MIGRATIONS],
      ['registrar', migrateRegistrar, REGISTRAR_MIGRATIONS],
    ] as const) {
      const [from, to] = [file(`${name}-of-root`), file(`of-service/${name}.sqlite`)]
      await (await openDatabase(from.place, name, migrations)).destroy()
      await move(from, to, { now: Date.now(), dryRun: false })
      const db = await openDatabase(to.place, name, migrations) // with its journal, as after a crash
      const owners = fs.readdirSync(home).map((each) => [each, fs.statSync(path.join(home, each))] as const)
      expect(owners.map(([each]) => each)).toEqual(expect.arrayContaining(['', '-wal', '-shm'].map((end) => `${name}.sqlite${end}`)))
      for (const [each, { uid, gid, mode }] of owners) expect([each, uid, gid, mode & 0o777]).toEqual([each, 65534, 65533, 0o600])
      await db.destroy()
      expect(fs.statSync(from.place).uid).toBe(0)
    }
  },
)

testAsRoot('a file that is there is not given away by root, nor what a link leads to', async () => {
  const home = path.join(directory, 'with-links')
  fs.mkdirSync(home)
  fs.chownSync(home, 65534, 65533)
  const inside = (name: string) => path.join(home, name)
  for (const name of ['there.sqlite', '../elsewhere']) fs.writeFileSync(inside(name), '')
  fs.symlinkSync('../elsewhere', inside('link.sqlite'))
  fs.symlinkSync('../missing', inside('broken.sqlite'))
  for (const name of ['there', 'link', 'broken'])
    await (await openDatabase(inside(`${name}.sqlite`), 'verifier', VERIFIER_MIGRATIONS)).destroy()
  for (const name of ['there.sqlite', '../elsewhere', '../missing']) expect([name, fs.statSync(inside(name)).uid]).toEqual([name, 0])
})
