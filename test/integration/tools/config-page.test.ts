import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { commandsOf } from '../../e2e/page.ts'
import { PROGRAM } from '../../program.ts'
import { temporaryKeylimeDir } from '../../servers.ts'

const ROOT = path.resolve(import.meta.dirname, '../../..')
const PAGE = 'changing-the-configuration.md'

/** The page as an operator follows it, on a machine whose /etc/keylime is a directory of the test. */
describe('the page about the configuration', () => {
  const home = temporaryKeylimeDir()
  const etc = path.join(home.dir, 'etc/keylime')
  const said: string[] = []

  /** `keylime` of a page is the program from its sources, below the root of the test where it knows one. */
  function follow(heading: string): { line: string; code: number | null; text: string }[] {
    return commandsOf(PAGE, heading).map((line) => {
      const rooted = line.replace(/^sudo /, '').replace(/(keylime config (?:show|diff|set|unset|upgrade))/, `$1 --root ${home.dir}`)
      const env = { ...process.env, KEYLIME_DIR: home.dir, PATH: `${home.dir}/bin:${process.env['PATH']}` }
      const { status, stdout, stderr } = spawnSync('bash', ['-c', rooted], { cwd: home.dir, env, encoding: 'utf8' })
      said.push(line)
      return { line, code: status, text: stdout + stderr }
    })
  }

  beforeAll(() => {
    fs.mkdirSync(etc, { recursive: true })
    fs.mkdirSync(path.join(home.dir, 'bin'))
    const program = `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`
    fs.writeFileSync(path.join(home.dir, 'bin/keylime'), program, { mode: 0o755 })
    fs.writeFileSync(path.join(etc, 'verifier.conf'), '# of our fleet\n[verifier]\nmax_retries = 7\n')
    fs.writeFileSync(path.join(home.dir, 'password.txt'), 'hunter2\n')
    fs.copyFileSync(path.join(ROOT, 'test/vectors/config/6.4/keylime.conf'), path.join(home.dir, 'keylime.conf'))
  })
  afterAll(() => home.remove())

  test('what counts now', () => {
    const [all, origins, diff, json] = follow('What counts now')
    expect(all).toMatchObject({ code: 0, text: expect.stringContaining('max_retries = 7\n') })
    expect(origins!.text).toContain(`max_retries = 7  # ${path.join(etc, 'verifier.conf')}:3\n`)
    expect(diff).toMatchObject({ code: 0, text: expect.stringMatching(/max_retries = 7 {2}# default: 5/) })
    expect(json).toMatchObject({ code: 0, text: '1\n' })
  })

  test('change an option', () => {
    const [own, dropIn, diff, name, value, secret, unset] = follow('Change an option')
    expect(own).toMatchObject({ code: 0, text: expect.stringContaining('sudo systemctl restart keylime-verifier') })
    expect(dropIn).toMatchObject({ code: 0, text: expect.stringContaining('agent.conf.d/90-local.conf:2') })
    expect(diff).toMatchObject({ code: 0, text: expect.stringMatching(/registrar_ip = 10\.0\.0\.1[\s\S]*quote_interval = 5/) })
    expect(name).toMatchObject({ code: 2, text: expect.stringContaining('did you mean quote_interval?') })
    expect(value).toMatchObject({ code: 2, text: expect.stringContaining('must be a number of seconds') })
    expect(secret).toMatchObject({ code: 0, text: expect.not.stringContaining('hunter2') })
    expect(fs.readFileSync(path.join(etc, 'agent.conf'), 'utf8')).toContain('tpm_ownerpassword = "hunter2"')
    expect(unset).toMatchObject({
      code: 0,
      text: expect.stringContaining(`${path.join(etc, 'verifier.conf')}:4: removed quote_interval\n`),
    })
    expect(fs.readFileSync(path.join(etc, 'verifier.conf'), 'utf8')).toBe('# of our fleet\n[verifier]\nmax_retries = 7\n')
  })

  test('check it before a restart', () => {
    for (const { line, code, text } of follow('Check it before a restart'))
      expect([line, code, text]).toEqual([line, 0, expect.stringContaining('can be used')])
  })

  test('convert the files of an older Keylime', () => {
    for (const file of fs.readdirSync(etc)) fs.rmSync(path.join(etc, file), { recursive: true })
    const [dry, real, check] = follow('Convert the files of an older Keylime')
    expect(dry).toMatchObject({ code: 0, text: expect.stringMatching(/would be written[\s\S]*without a counterpart/) })
    expect(real).toMatchObject({ code: 0 })
    expect(fs.readdirSync(etc).toSorted()).toEqual(['agent.conf', 'ca.conf', 'registrar.conf', 'tenant.conf', 'verifier.conf'])
    expect(check).toMatchObject({ code: 0 })
  })

  test('completions and the manual', () => {
    const [completion, page, installed] = follow('Completions and the manual')
    expect(completion).toMatchObject({ code: 0, text: '' })
    expect(page).toMatchObject({ code: 0, text: expect.stringMatching(/^\.TH KEYLIME-TENANT/) })
    expect(installed).toMatchObject({ code: 0, text: expect.stringContaining('pages written below share/man') })
    expect(fs.existsSync(path.join(home.dir, 'share/man/man1/keylime.1'))).toBe(true)
  })

  test('every command of the page was followed', () => {
    const text = fs.readFileSync(path.join(ROOT, 'docs/guide', PAGE), 'utf8')
    const blocks = [...text.matchAll(/^```\n([\s\S]*?)^```$/gm)].flatMap((block) => block[1]!.trimEnd().split('\n'))
    expect(said.length).toBe(blocks.length)
  })
})
