import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { BOOT_AGGREGATE, imaLine } from '../ima.ts'
import { freePorts } from '../servers.ts'
import { command, KEYLIME } from './deployment.ts'

/** A file system with no room left, below whatever a command writes: each says so with what to do, and leaves everything as it was. */

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip
const base = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-full-'))
const disk = path.join(base, 'disk')
const filler = path.join(disk, 'filler')
const at = (name: string) => path.join(base, name)
const on = (name: string) => path.join(disk, name)
const BLOCK = 4096

const HEX = (digit: string, count: number) => digit.repeat(count)
const lineOf = (file: string, digit: string) => imaLine(`ima-ng sha256:${HEX(digit, 64)} ${file}`)

/** All that is on the disk. */
const contents = () =>
  fs
    .readdirSync(disk, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .filter((name) => name !== 'filler' && !/\.lock$/.test(name))
    .map((name) => [name, fs.lstatSync(on(name)).isFile() ? fs.readFileSync(on(name), 'base64') : 'directory'])

/** @param blocks that stay free. */
function fill(blocks: number): void {
  fs.rmSync(filler, { force: true })
  const file = fs.openSync(filler, 'w')
  try {
    for (;;) fs.writeSync(file, Buffer.alloc(BLOCK))
  } catch {
    fs.ftruncateSync(file, Math.max(0, fs.fstatSync(file).size - blocks * BLOCK))
    fs.closeSync(file)
  }
}

const env: Record<string, string> = {
  PATH: process.env['PATH']!,
  KEYLIME_DIR: disk,
  KEYLIME_CA_CERT_KEY_TYPE: 'ecdsa',
  KEYLIME_CA_PASSWORD: 'of the test',
}
const run = (args: readonly string[], program = KEYLIME) => command(program, [...args], env, on('cwd'))

/** As from a shell that writes its result into a file of that disk. */
const into = (file: string, args: readonly string[]) =>
  command('sh', ['-c', 'exec "$@" > "$0"', file, KEYLIME, ...args], { ...env, KEYLIME_DIR: at('verifier') }, base)

/** Refused for the disk, with a hint, and nothing changed. */
async function refused(args: readonly string[], program?: string): Promise<void> {
  const before = contents()
  const { code, stdout, stderr } = await run(args, program)
  expect([args, code, stderr + (program ? stdout : '')]).toEqual([
    args,
    program?.endsWith('encrypt') ? 255 : 1,
    expect.stringMatching(/ENOSPC/),
  ])
  if (!program) expect(stderr).toMatch(/^error: .*ENOSPC.*\n(.*\n)*hint: make room on that file system/m)
  expect(stderr).not.toMatch(/^\s+at /m)
  expect(contents()).toEqual(before)
}

const WORDS: Readonly<Record<string, readonly string[]>> = {
  'ca init, in place of the one that is there': ['ca', 'init', '--yes'],
  'ca create': ['ca', 'create', '-n', 'web'],
  'ca pkg': ['ca', 'pkg', '-n', 'first'],
  'ca revoke': ['ca', 'revoke', '-n', 'first'],
  'ca crl': ['ca', 'crl'],
  'ca passwd': ['ca', 'passwd', '--new-password-file', at('new-password')],
  'ca operator': ['ca', 'operator', 'alice', '-d', on('ca')],
  'ca rotate': ['ca', 'rotate', '-d', on('ca')],
  'ca reissue': ['ca', 'reissue', '-d', on('ca')],
  'config set': ['config', 'set', 'verifier', 'quote_interval', '5', '--config', on('verifier.conf')],
  'config set, below another root': ['config', 'set', 'verifier', 'quote_interval', '5', '--root', on('image')],
  'config unset': ['config', 'unset', 'verifier', 'quote_interval', '--config', on('verifier.conf')],
  'config upgrade, over a file that is there': ['config', 'upgrade', at('old.conf'), '--out', disk],
  'config upgrade, into a new directory': ['config', 'upgrade', at('old.conf'), '--out', on('made/for/it')],
  'doctor --report': ['doctor', 'ca', '--report', on('report.zip')],
  'policy create runtime': ['policy', 'create', 'runtime', '--log', at('ima.txt'), '-o', on('policy.json')],
  'policy merge': ['policy', 'merge', at('policy.json'), at('other.json'), '-o', on('policy.json')],
  'policy convert': ['policy', 'convert', at('policy.json'), '-o', on('policy.json')],
  'policy sign, with a key': ['policy', 'sign', '-r', at('policy.json'), '-k', at('key.pem'), '-o', on('signed.json')],
  'policy sign, making a key': ['policy', 'sign', '-r', at('policy.json'), '-p', on('key.pem'), '-o', on('signed.json')],
  'policy diff --patch': ['policy', 'diff', at('policy.json'), '--log', at('ima.txt'), '--patch', on('patch.json')],
  'man --install': ['man', '--install', on('man')],
  'userdata-encrypt': ['userdata-encrypt', at('policy.json')],
  'tenant ekroots add': ['tenant', 'ekroots', 'add', at('root.crt')],
  'service install': ['service', 'install', 'verifier', '--root', on('image'), '--yes'],
}
/** Upstream's names: their own form of an error, without hints. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  keylime_ca: ['-c', 'create', '-n', 'web', '-d', on('ca')],
  keylime_upgrade_config: ['--input', at('old.conf'), '--out', disk],
  keylime_create_policy: ['-m', at('ima.txt'), '-o', on('policy.json')],
  'keylime-policy': ['create', 'runtime', '-m', at('ima.txt'), '-o', on('policy.json')],
  keylime_convert_runtime_policy: ['-r', at('policy.json'), '-o', on('policy.json')],
  keylime_sign_runtime_policy: ['-r', at('policy.json'), '-p', on('key.pem'), '-o', on('signed.json')],
  keylime_userdata_encrypt: [at('policy.json')],
}

describeAsRoot('on a full disk', () => {
  beforeAll(async () => {
    fs.mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', disk])
    for (const name of ['cwd', 'image']) fs.mkdirSync(on(name))
    fs.writeFileSync(on('verifier.conf'), '[verifier]\n# a note\nquote_interval = 3\n')
    fs.writeFileSync(at('old.conf'), '[cloud_verifier]\ncloudverifier_port = 8881\n')
    fs.writeFileSync(at('new-password'), 'another\n', { mode: 0o600 })
    fs.writeFileSync(at('first.txt'), `${BOOT_AGGREGATE}\n${lineOf('/bin/x', 'b')}\n`)
    fs.writeFileSync(at('ima.txt'), `${BOOT_AGGREGATE}\n${lineOf('/bin/x', 'c')}\n`)
    for (const [log, file] of [
      ['first.txt', 'policy.json'],
      ['ima.txt', 'other.json'],
    ] as const)
      expect(await run(['policy', 'create', 'runtime', '--log', at(log), '-o', at(file)])).toMatchObject({ code: 0 })
    execFileSync('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', at('key.pem')])
    for (const name of Object.keys(PROGRAMS)) fs.symlinkSync(KEYLIME, at(name))
    expect(await run(['ca', 'init'])).toMatchObject({ code: 0 })
    expect(await run(['ca', 'create', '-n', 'first'])).toMatchObject({ code: 0 })
    fs.copyFileSync(on('ca/cacert.crt'), at('root.crt'))
    fill(0)
  })
  afterAll(() => {
    execFileSync('umount', ['--recursive', '--lazy', disk])
    fs.rmSync(base, { recursive: true, force: true })
  })

  test.each(Object.entries(WORDS))('`keylime %s` says so, and changes nothing', (_name, args) => refused(args))
  test.each(Object.entries(PROGRAMS))('%s says so, and changes nothing', (name, args) => refused(args, at(name)))

  /** Several files that belong together: with room for some of them, none is written. */
  test.each([
    ['userdata-encrypt', WORDS['userdata-encrypt']!, ['cwd/content_keys.txt', 'cwd/content_payload.txt']],
    ['policy sign, making a key', WORDS['policy sign, making a key']!, ['key.pem', 'key.pem.pub', 'signed.json']],
    ['config upgrade', WORDS['config upgrade, into a new directory']!, ['made/for/it/verifier.conf']],
    ['man --install', WORDS['man --install']!, ['man/man1/keylime.1', 'man/man5/keylime-verifier.conf.5']],
  ])('with room for a part of what `keylime %s` writes, it writes nothing; with room for all, everything', async (_name, args, files) => {
    const first = contents()
    for (const blocks of [1, 2, 100]) {
      fill(blocks)
      const { code } = await run(args)
      if (code === 0) break
      expect([code, contents()]).toEqual([1, first])
    }
    expect(files.filter((name) => !fs.existsSync(on(name)))).toEqual([])
    for (const name of files) fs.rmSync(on(name.startsWith('cwd/') ? name : name.split('/')[0]!), { recursive: true, force: true })
    expect(contents()).toEqual(first)
    fill(0)
  })

  test.each([
    ['--version', ['--version']],
    ['help', ['tenant', '--help']],
    ['a result', ['config', 'show', 'verifier']],
    ['JSON', ['config', 'show', '--json']],
    ['a completion', ['completion', 'bash']],
    ['a document', ['policy', 'convert', at('policy.json')]],
  ])('what goes to standard output and finds no room is a failure: %s', async (_what, args) => {
    const { code, stderr } = await into(on('out'), args)
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: the result cannot be written: ENOSPC.*\nhint: make room/m)])
    fs.rmSync(on('out'))
  })

  describe('with a verifier that has room', () => {
    let verifier: ReturnType<typeof spawn>
    let more: Record<string, string>
    beforeAll(async () => {
      const ports = (await freePorts(3)).map(String)
      fs.mkdirSync(at('verifier'))
      more = { KEYLIME_VERIFIER_PORT: ports[0]!, KEYLIME_REGISTRAR_PORT: ports[1]!, KEYLIME_REGISTRAR_TLS_PORT: ports[2]! }
      Object.assign(more, { KEYLIME_TENANT_VERIFIER_PORT: ports[0]!, KEYLIME_TENANT_REGISTRAR_PORT: ports[2]! })
      verifier = spawn(KEYLIME, ['verifier'], {
        env: { ...env, ...more, KEYLIME_DIR: at('verifier') },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let log = ''
      await new Promise<void>((resolve, reject) => {
        verifier.stderr!.on('data', (chunk) => {
          log += chunk
          if (log.includes('registrar serves')) resolve()
        })
        verifier.once('exit', () => reject(new Error(log)))
      })
    })
    afterAll(async () => {
      verifier.removeAllListeners('exit').kill()
      await once(verifier, 'exit')
    })
    const tenant = (...args: string[]) => command(KEYLIME, args, { ...env, ...more, KEYLIME_DIR: at('verifier') }, base)
    const fails = { code: 1, stderr: expect.stringMatching(/^error: .*(ENOSPC|disk is full).*\n(.*\n)*hint: make room/m) }

    test('a backup of it, its lists, and the file with which the tenant goes on, are refused; nothing is left', async () => {
      const before = contents()
      expect(await tenant('verifier', 'backup', on('backup'))).toMatchObject(fails)
      expect(await tenant('tenant', 'attest', '-u', 'one', '-u', 'two', '--resume', on('resume'))).toMatchObject(fails)
      expect(
        await command(
          'sh',
          ['-c', 'exec "$0" tenant list --json > "$1"', KEYLIME, on('list')],
          { ...env, ...more, KEYLIME_DIR: at('verifier') },
          base,
        ),
      ).toMatchObject(fails)
      fs.rmSync(on('list'))
      expect(contents()).toEqual(before)
    })
  })
})
