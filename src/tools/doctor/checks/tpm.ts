import fs from 'node:fs'
import os from 'node:os'
import { isKeylimeError } from '../../../core/errors.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import { KEY_KINDS } from '../../../core/tpm/templates.ts'
import { readCertificateStore } from '../../../io/files/certificate-store.ts'
import { lookAtTpm } from '../../../io/tpm/look-at-tpm.ts'
import type { Subject } from '../check.ts'
import type { Finding } from '../finding.ts'
import { type Device, judgeDevice, judgeTpm } from './judge-tpm.ts'

/** So that a chip that hangs is told as any check that is late, and the process ends soon after. */
const GRACE_MS = 500
const DEVICES = ['/dev/tpmrm0', '/dev/tpm0']

/** Whether there is a TPM that this user may open, who made it, its banks, its lockout and its certificate. */
export async function checkTpm({ where: { machine }, env, root, now, limitMs }: Subject): Promise<Finding[]> {
  if (!machine) return []
  const tcti = env['TCTI']
  const refused = tcti === undefined ? judgeDevice(deviceBelow(root), os.userInfo().username) : null
  if (refused) return [refused]
  const facts = await lookAtTpm(tcti, KEY_KINDS[machine.keys as keyof typeof KEY_KINDS], limitMs + GRACE_MS)
  const { certificates } = await readCertificateStore(machine.certificateStore)
  return judgeTpm({
    facts: { ...facts, ek: ekOf(facts.ek) },
    hash: machine.hash,
    store: certificates,
    storeDirectory: machine.certificateStore,
    now: now(),
  })
}

function ekOf(ek: Awaited<ReturnType<typeof lookAtTpm>>['ek']) {
  if (!ek) return null
  try {
    return { certificate: parseCertificate(ek.certificate), chain: ek.chain.map((der) => parseCertificate(der)) }
  } catch (error) {
    if (isKeylimeError(error)) return { unreadable: error.message }
    throw error
  }
}

/** The one that an agent would open; null when there is none. */
function deviceBelow(root: string): Device | null {
  const file = DEVICES.map((device) => `${root}${device}`).find((device) => fs.existsSync(device))
  if (file === undefined) return null
  const { mode, gid } = fs.statSync(file)
  return { file, mode: mode & 0o777, group: groupName(gid), mayOpen: mayOpen(file) }
}

function mayOpen(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.R_OK | fs.constants.W_OK)
    return true
  } catch {
    return false
  }
}

function groupName(gid: number): string {
  const lines = fs.existsSync('/etc/group') ? fs.readFileSync('/etc/group', 'utf8').split('\n') : []
  return lines.map((line) => line.split(':')).find(([, , id]) => id === String(gid))?.[0] ?? String(gid)
}
