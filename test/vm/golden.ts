import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { KEYLIME } from '../e2e/deployment.ts'
import { CACHE, Machine } from './machine.ts'
import { HOST_FROM_GUEST, type Operator } from './operator.ts'

/** Machines that were made once and are never run again: each part works on copies. */
export interface Golden {
  /** Stopped, as it was installed: for boots that differ. */
  installed: Machine
  /** The same machine, frozen in its second boot. */
  first: Machine
  /** The first one's disk with another TPM, frozen in its boot. Its agent stays root, because its payload writes root's authorized_keys. */
  second: Machine
  /** Logs and PCRs of the first boot, and the policies that `keylime policy` made of them. */
  record: Record<'imaLog' | 'bootLog' | 'pcrs' | 'runtimePolicy' | 'bootPolicy', string>
}

const IMA_LOG = '/sys/kernel/security/ima/ascii_runtime_measurements'
const BOOT_LOG = '/sys/kernel/security/tpm0/binary_bios_measurements'

/** What changes from boot to boot, or belongs to one machine alone (see the guide "Runtime policies"). */
const EXCLUDES = ['/var/log/', '/var/lib/systemd/', '/var/lib/keylime/', '/etc/keylime/', '/etc/resolv.conf$', '/root/.ssh/']

/** Made when packages were installed, in none of them, and not read in the boot that was recorded. */
const MADE_BY_PACKAGES = ['/etc/ssl/certs/ca-certificates.crt']

const OPENED = [
  'NoNewPrivileges=no',
  'ProtectSystem=no',
  'ProtectHome=no',
  'CapabilityBoundingSet=~',
  'SystemCallFilter=',
  'RestrictSUIDSGID=no',
]
/** For an agent whose payload writes where its service may not, as docs/guide/services.md has it. The runtime policy knows it: systemd reads it as root. */
const OPEN_UNIT = { file: '/etc/systemd/system/keylime-agent.service.d/payloads.conf', text: `[Service]\n${OPENED.join('\n')}\n` }

/** Another one makes the golden machines anew: for changes in this file. */
const RECIPE = '1'

const folder = path.join(CACHE, 'golden')
const record: Golden['record'] = {
  imaLog: path.join(folder, 'ima.txt'),
  bootLog: path.join(folder, 'uefi.bin'),
  pcrs: path.join(folder, 'pcrs.txt'),
  runtimePolicy: path.join(folder, 'runtime.json'),
  bootPolicy: path.join(folder, 'boot.json'),
}

/** When a run is broken off while they are made. Frozen and stopped ones do not mind. */
export async function endGoldenMachines(): Promise<void> {
  for (const machine of [new Machine('installed'), new Machine('first'), new Machine('second')])
    if (machine.exists) await machine.vm('kill')
}

/** The golden machines; each is made when it is missing, or when the image, the executable or the operator's CA has changed. */
export async function goldenMachines(operator: Operator, tell: (text: string) => void): Promise<Golden> {
  const golden = { installed: new Machine('installed'), first: new Machine('first'), second: new Machine('second'), record }
  const inputs = [path.join(CACHE, 'stamp/disk'), KEYLIME, path.join(operator.dir, 'cv_ca/cacert.crt')]
  const stamp = createHash('sha256').update(RECIPE)
  for (const file of inputs) stamp.update(fs.readFileSync(file))
  const digest = stamp.digest('hex')
  const stages: [Machine, () => Promise<void>][] = [
    [golden.installed, () => install(golden, operator)],
    [golden.first, () => bootAgain(golden)],
    [golden.second, () => bootWithAnotherTpm(golden)],
  ]
  for (const [machine, make] of stages) {
    if (machine.exists && fs.existsSync(machine.file('made')) && fs.readFileSync(machine.file('made'), 'utf8') === digest) continue
    tell(`making the machine "${machine.name}"`)
    const began = performance.now()
    await machine.delete()
    await make()
    fs.writeFileSync(machine.file('made'), digest)
    tell(`made "${machine.name}" in ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
  await makePolicies(operator)
  return golden
}

/** As the guide "First installation" says, word for word; then the logs of this boot are kept. */
async function install({ installed }: Golden, operator: Operator): Promise<void> {
  await installed.vm('new')
  await installed.vm('start')
  await installed.vm('put', KEYLIME, '/usr/local/bin/keylime')
  await installed.sh('mkdir -p /var/lib/keylime/cv_ca')
  await installed.vm('put', path.join(operator.dir, 'cv_ca/cacert.crt'), '/var/lib/keylime/cv_ca/')
  await installed.write('/etc/keylime/agent.conf', agentConf(installed, operator))
  await installed.sh('keylime service install agent --yes')
  await installed.agentServes()
  await keepRecord(installed)
  await installed.vm('stop')
}

/** Logs and PCRs of one moment: IMA appends and extends under one lock, so they belong together when the number of entries has not changed. */
async function keepRecord(machine: Machine): Promise<void> {
  const count = '$(cat /sys/kernel/security/ima/runtime_measurements_count)'
  const picture = `cat ${IMA_LOG} >ima.txt; cat ${BOOT_LOG} >uefi.bin; tpm2_pcrread >pcrs.txt`
  await machine.sh(`mkdir -p /run/record; cd /run/record; n=0; until [ $n = ${count} ]; do n=${count}; ${picture}; done`)
  fs.mkdirSync(folder, { recursive: true })
  await machine.vm('get', ...['ima.txt', 'uefi.bin', 'pcrs.txt'].map((name) => `/run/record/${name}`), folder)
}

/** The agent comes by itself now. */
async function bootAgain({ installed, first }: Golden): Promise<void> {
  await first.startAs(installed)
  await first.agentServes()
  await first.vm('freeze')
}

async function bootWithAnotherTpm({ installed, second }: Golden): Promise<void> {
  await installed.vm('copy', second.name, '--new-tpm')
  await second.vm('start')
  await second.write(OPEN_UNIT.file, OPEN_UNIT.text)
  await second.write('/etc/keylime/agent.conf.d/vm.conf', `[agent]\ncontact_port = ${second.ports.agent}\nrun_as = ""\n`)
  // another user than before: the tmpfs of the old one is not taken over
  await second.sh(
    'systemctl daemon-reload; systemctl stop keylime-agent; if mountpoint -q /var/lib/keylime/secure; then umount /var/lib/keylime/secure; fi; systemctl start keylime-agent',
  )
  await second.agentServes()
  await second.vm('freeze')
}

const agentConf = (machine: Machine, operator: Operator) => `[agent]
uuid = "hash_ek"
ip = "0.0.0.0"
contact_ip = "127.0.0.1"
contact_port = ${machine.ports.agent}
registrar_ip = "${HOST_FROM_GUEST}"
registrar_port = ${operator.registrarPort}
`

/** As the guide "Runtime policies" says: what the packages brought and made, initial RAM disks, and what only the running machine shows. */
async function makePolicies(operator: Operator): Promise<void> {
  const at = (name: string) => path.join(folder, name)
  const root = path.join(CACHE, 'root')
  const create = (...args: string[]) => operator.succeeds('policy', 'create', ...args)
  fs.writeFileSync(at('excludes.txt'), `${EXCLUDES.join('\n')}\n`)
  const own = MADE_BY_PACKAGES.map((file) => [sha256(fs.readFileSync(path.join(root, file))), file])
  own.push([sha256(OPEN_UNIT.text), OPEN_UNIT.file])
  fs.writeFileSync(at('own.txt'), own.map(([digest, file]) => `${digest}  ${file}\n`).join(''))
  const sources = ['--deb-installed', root, '--ramdisk-dir', path.join(root, 'boot'), '--allowlist', at('own.txt')]
  await create('runtime', ...sources, '-e', at('excludes.txt'), '-o', at('packages.json'))
  await operator.keylime('policy', 'diff', at('packages.json'), '--log', record.imaLog, '--patch', at('add.json')) // exit 1: there is a difference
  await operator.succeeds('policy', 'merge', at('packages.json'), at('add.json'), '-o', record.runtimePolicy)
  await create('measured-boot', '--event-log', record.bootLog, '-o', record.bootPolicy)
}

const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex')
