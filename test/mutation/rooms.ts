import fs from 'node:fs'
import path from 'node:path'

/** Sources whose mutants are counted together. */
export interface Room {
  /** Folders and files, from the root. */
  readonly sources: readonly string[]
  /** Patterns of integration tests that are run beside the unit tests, because the room is about real things. */
  readonly integration: readonly string[]
}

const core = (name: string): Room => ({ sources: [`src/core/${name}/`], integration: [] })

export const ROOMS: Readonly<Record<string, Room>> = {
  quote: core('quote'),
  attestation: core('attestation'),
  ima: core('ima'),
  identity: core('identity'),
  payload: core('payload'),
  keystore: core('keystore'),
  pki: core('pki'),
  revocation: core('revocation'),
  tpm: { sources: ['src/core/tpm/'], integration: ['integration/tpm/attestation-keys', 'integration/agent/device-identity'] },
  keys: {
    sources: ['src/authority/key-store.ts', 'src/authority/open-authority.ts'],
    integration: ['integration/authority/open-authority', 'integration/authority/clocks-and-losses', 'integration/authority/rotation.test'],
  },
  files: {
    sources: ['src/io/files/atomic-file.ts', 'src/io/files/secure-mount.ts', 'src/io/files/mount-info.ts', 'src/io/db/open-database.ts'],
    integration: ['integration/io/files/secure-mount'],
  },
  access: {
    sources: ['src/io/http/client-check.ts', 'src/io/files/revocation-lists.ts'],
    integration: ['integration/access/operators', 'integration/access/dates', 'integration/http/renewed-trust'],
  },
  release: {
    sources: [
      'src/roles/verifier/release/',
      'src/roles/verifier/rounds/attestation-loop.ts',
      'src/roles/verifier/verdicts/apply-verdict.ts',
      'src/roles/verifier/verdicts/state-keeper.ts',
    ],
    integration: ['integration/verifier/attestation'],
  },
  privileges: {
    sources: ['src/roles/agent/machine/privileges.ts', 'src/roles/agent/machine/prepare-machine.ts'],
    integration: ['integration/agent/privileges', 'integration/agent/prepare-machine', 'integration/agent/action-user'],
  },
}

const CHECKOUT = path.resolve(import.meta.dirname, '../..')

export const filesBelow = (directory: string): string[] =>
  fs
    .readdirSync(path.join(CHECKOUT, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.relative(CHECKOUT, path.join(entry.parentPath, entry.name)))
    .sort()

export const sourcesOf = ({ sources }: Room): string[] => sources.flatMap((place) => (place.endsWith('/') ? filesBelow(place) : [place]))
