import type { ConfiguredRole } from '../../config/tables.ts'
import { checkCertificates } from './checks/certificates.ts'
import { checkConfiguration } from './checks/configuration.ts'
import { checkDatabases } from './checks/database.ts'
import { checkDisk } from './checks/disk.ts'
import { checkMeasurements } from './checks/measurements.ts'
import { checkPeers } from './checks/peers.ts'
import { checkPorts } from './checks/ports.ts'
import { checkService } from './checks/service.ts'
import { checkTpm } from './checks/tpm.ts'
import type { NamedCheck } from './run-checks.ts'

const configuration: NamedCheck = { name: 'configuration', run: checkConfiguration }
const certificates: NamedCheck = { name: 'certificates', run: checkCertificates }
const service: NamedCheck = { name: 'service', run: checkService }
const ports: NamedCheck = { name: 'ports', run: checkPorts }
const peers: NamedCheck = { name: 'peers', run: checkPeers }
const disk: NamedCheck = { name: 'disk', run: checkDisk }
const tpm: NamedCheck = { name: 'tpm', run: checkTpm }
const measurements: NamedCheck = { name: 'measurements', run: checkMeasurements }

/** What is looked at for each role, side by side. */
export const CHECKS: Readonly<Record<ConfiguredRole, readonly NamedCheck[]>> = {
  agent: [configuration, service, ports, peers, disk, tpm, measurements],
  verifier: [configuration, certificates, service, ports, disk],
  registrar: [configuration, certificates, service, ports, disk],
  tenant: [configuration, certificates, peers],
  ca: [configuration, service, ports, disk],
}

/** The same, but they hold up this thread: they run when the others have ended. */
export const BLOCKING_CHECKS: Readonly<Record<ConfiguredRole, readonly NamedCheck[]>> = {
  agent: [],
  verifier: [{ name: 'database', run: checkDatabases }],
  registrar: [{ name: 'database', run: checkDatabases }],
  tenant: [],
  ca: [],
}
