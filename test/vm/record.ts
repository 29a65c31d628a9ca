import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { type Bench, booted, expectWords } from './bench.ts'
import { CACHE } from './machine.ts'

/** What the tests of measured boot, IMA and quotes take; the rest of the picture is left out. */
const FILES = [
  'ima.txt',
  'uefi.bin',
  'pcrs.txt',
  'quote.msg',
  'quote.sig',
  'quote.pcrs',
  'nonce.hex',
  'ak.pub',
  'ek.pub',
  'ek-rsa.der',
  'cmdline.txt',
]

/** A fresh boot's logs, PCRs and a quote of one moment, checked by tpm2-tools and by `keylime policy test`, with a note of their origin. */
export async function record(bench: Bench, folder: string): Promise<void> {
  const { golden, operator, report } = bench
  const at = (name: string) => path.join(folder, name)
  const nonce = randomBytes(20).toString('hex')
  await report.step('a machine is booted, and pictured at one moment', async () => {
    const { machine } = await booted(bench)
    await machine.vm('put', path.join(import.meta.dirname, 'guest/collect.sh'), '/run/collect.sh')
    const said = await machine.sh(`sh /run/collect.sh /run/set ${nonce}`)
    fs.mkdirSync(folder, { recursive: true })
    await machine.vm('get', ...FILES.map((name) => `/run/set/${name}`), '/run/set/ak.pem', folder)
    return said
  })
  await report.step('tpm2_checkquote accepts the quote over the nonce', async () => {
    const quote = ['-m', at('quote.msg'), '-s', at('quote.sig'), '-f', at('quote.pcrs'), '-g', 'sha256', '-q', nonce]
    execFileSync('tpm2_checkquote', ['-u', at('ak.pem'), ...quote], { stdio: 'pipe' })
    fs.rmSync(at('ak.pem'))
  })
  await report.step('logs and PCRs agree, and the golden policies accept them', async () => {
    const { runtimePolicy, bootPolicy } = golden.record
    const logs = ['--log', at('ima.txt'), '--event-log', at('uefi.bin'), '--pcrs', at('pcrs.txt')]
    expectWords(
      await operator.succeeds('policy', 'test', '--runtime-policy', runtimePolicy, '--mb-policy', bootPolicy, ...logs),
      'accepted',
    )
  })
  fs.writeFileSync(at('ORIGIN.md'), await origin())
}

async function origin(): Promise<string> {
  const said = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' }).split('\n')[0]
  const packages = fs.readFileSync(path.join(CACHE, 'efi/packages.txt'), 'utf8').trim().split('\n').join(', ')
  const kernel = fs.readFileSync(path.join(CACHE, 'kernel-version'), 'utf8').trim()
  return `Recorded on ${new Date().toISOString().slice(0, 10)} by \`npm run vm -- --record\`: ${said('qemu-system-x86_64', '--version')}, ${said('swtpm', '--version')},
OVMF with Secure Boot, ${packages}, kernel ${kernel}. Quote over sha256:0-15 with an RSA-2048 AK.
`
}
