import type { IssuedOperator } from '../../authority/issue-operator.ts'
import type { OpenedCa } from './open-ca.ts'

/** What `keylime ca operator` did, for people and for machines. */
export function operatorOutcome(ca: OpenedCa, issued: IssuedOperator, name: string) {
  const { certificate, file, revoked, authorityGivesRoles } = issued
  const until = new Date(certificate.notAfter).toISOString()
  return {
    lines: [
      `certificate ${certificate.serial} for operator ${name} issued, valid until ${until.slice(0, 10)}${revoked ? `; ${revoked} revoked` : ''}`,
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
      revoked: revoked?.toString() ?? null,
      gives_roles: authorityGivesRoles,
    },
  }
}
