import type { IssuedOperator } from '../../authority/issue-operator.ts'
import type { RevokedName } from '../../authority/revoke-name.ts'
import { elsewhereText, revokedText, unknownSerialsText } from '../../authority/revoked-words.ts'
import type { OpenedCa } from './open-ca.ts'

/** What `keylime ca operator` did, for people and for machines. */
export function operatorOutcome(ca: OpenedCa, issued: IssuedOperator, name: string) {
  const { certificate, file, revoked, authorityGivesRoles } = issued
  const until = new Date(certificate.notAfter).toISOString()
  return {
    lines: [
      `certificate ${certificate.serial} for operator ${name} issued, valid until ${until.slice(0, 10)}${revoked.length > 0 ? `; ${revoked.join(', ')} revoked` : ''}`,
      `package ${file} written: the operator unpacks it into KEYLIME_DIR/cv_ca of the machine that he works on`,
      `to take it away: keylime ca revoke -d ${ca.directory} -n ${name}`,
      ...(authorityGivesRoles
        ? []
        : ['this authority gives no roles: every certificate of it is an administrator’s, until `keylime ca reissue`']),
    ],
    json: {
      file,
      serial: certificate.serial.toString(),
      not_after: until,
      revoked: revoked.at(-1)?.toString() ?? null,
      gives_roles: authorityGivesRoles,
    },
  }
}

/** What `keylime ca revoke` did, for people and for machines. */
export function revokedOutcome(ca: OpenedCa, revoked: RevokedName) {
  const more = [unknownSerialsText(revoked.unknown), elsewhereText(revoked.elsewhere)].filter((text) => text !== undefined)
  const { serials, fresh } = revoked
  return {
    lines: [`${revokedText(revoked)}; the revocation list is published in ${ca.directory}`, ...more],
    json: {
      serial: serials.at(-1)?.toString() ?? null,
      new: fresh.length > 0,
      serials: serials.map(String),
      revoked: fresh.map(String),
      unknown: revoked.unknown.map(String),
      elsewhere: revoked.elsewhere.map(String),
    },
  }
}
