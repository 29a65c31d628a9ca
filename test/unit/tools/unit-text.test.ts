import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { SERVICE_ROLES, type ServiceRole } from '../../../src/tools/service/service-role.ts'
import { knowsNoswap, mountText, mountUnitName, unitText } from '../../../src/tools/service/unit-text.ts'

const facts = { executable: '/usr/bin/keylime', keylimeDir: '/var/lib/keylime', user: 'keylime' }
/** What `systemd-analyze security` may say at most: 0 is closed, 10 is open. */
const MOST: Record<ServiceRole, number> = { verifier: 3, registrar: 3, ca: 3, agent: 5 }
const withSystemd = fs.existsSync('/usr/bin/systemd-analyze') ? test : test.skip

withSystemd('systemd finds no fault in the units, and less exposure than the docs say', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-units-'))
  const units = path.join(root, 'etc/systemd/system')
  fs.mkdirSync(units, { recursive: true })
  for (const role of SERVICE_ROLES) fs.writeFileSync(path.join(units, `keylime-${role}.service`), unitText(role, facts))
  fs.writeFileSync(path.join(units, mountUnitName(facts.keylimeDir)), mountText(facts, { noswap: true }))
  fs.mkdirSync(path.join(root, 'usr/bin'), { recursive: true })
  for (const program of ['keylime', 'kill']) fs.writeFileSync(path.join(root, 'usr/bin', program), '', { mode: 0o755 })
  fs.symlinkSync('usr/bin', path.join(root, 'bin'))
  try {
    for (const role of SERVICE_ROLES) {
      const args = [
        'security',
        '--offline=yes',
        '--no-pager',
        `--threshold=${MOST[role] * 10}`,
        `--root=${root}`,
        `keylime-${role}.service`,
      ]
      const said = execFileSync('systemd-analyze', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
      const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(said)?.[1])
      expect([role, exposure > 0 && exposure <= MOST[role]]).toEqual([role, true])
    }
  } finally {
    fs.rmSync(root, { recursive: true })
  }
})

test('passwords come from systemd’s credentials, those of the registrar inside too', () => {
  expect(unitText('verifier', facts)).toMatch(/^LoadCredential=keylime\.verifier\.server_key_password$/m)
  expect(unitText('verifier', facts)).toMatch(/^LoadCredential=keylime\.registrar\.server_key_password$/m)
  expect(unitText('verifier', facts)).toMatch(/^LoadCredential=keylime\.ca\.password$/m)
  expect(unitText('agent', facts)).toMatch(/^LoadCredential=keylime\.agent\.tpm_ownerpassword$/m)
  expect(unitText('agent', facts)).not.toContain('keylime.ca.')
})

test('the agent needs not be able to mount: its memory for secrets is there before it', () => {
  const unit = unitText('agent', facts)
  expect(unit).toMatch(/^After=.* var-lib-keylime-secure\.mount$/m)
  expect(unit).toMatch(/^Wants=.* var-lib-keylime-secure\.mount$/m)
  expect(unit).not.toContain('CAP_SYS_ADMIN')
  expect(mountText(facts, { noswap: false })).toContain(
    'Where=/var/lib/keylime/secure\nType=tmpfs\nOptions=size=1m,mode=0700,nosuid,nodev\n',
  )
  expect(mountText(facts, { noswap: true })).toContain('nodev,noswap\n')
})

test.each([
  ['5.15.0-91-generic', false],
  ['6.1.0-18-amd64', false],
  ['6.3.99', false],
  ['6.4.0', true],
  ['6.12.1', true],
  ['7.0', true],
  ['', false],
])('a kernel %s can keep a tmpfs out of swap: %s', (release, knows) => {
  expect(knowsNoswap(release)).toBe(knows)
})

const withEscape = fs.existsSync('/usr/bin/systemd-escape') ? test : test.skip
withEscape('a mount unit has the name that systemd wants', () => {
  for (const directory of ['/var/lib/keylime', '/srv/key lime/a-b', '/.hidden/ä_b.c:d', '//twice///'])
    expect(mountUnitName(directory)).toBe(
      execFileSync('systemd-escape', ['--path', '--suffix=mount', `${directory}/secure`], { encoding: 'utf8' }).trim(),
    )
})
