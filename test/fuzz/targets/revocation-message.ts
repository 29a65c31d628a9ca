import { readRevocationNotification } from '../../../src/core/api/agent.ts'
import { parseActionList } from '../../../src/core/revocation/action-list.ts'
import { parseRevocationMessage, revokedSerial, revocationMessage as write } from '../../../src/core/revocation/message.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

const FACTS = {
  ...{ type: 'revocation' as const, ip: '127.0.0.1', agentId: 'a', port: 9002, tpmPolicy: '{}', eventTime: new Date(0) },
  ...{ eventId: 'ima.x', severityLabel: 'emergency', context: '{}' },
}

/** Notifications, and the text that is signed in them: what is sent can be read, with the serial that was put in. */
export const revocationMessage: Target = {
  seeds: () => [
    Buffer.from(write({ ...FACTS, metaData: '{"cert_serial": 3, "subject": "CN=a"}' })),
    Buffer.from(write({ ...FACTS, metaData: '{"cert_serial": "123456789012345678901234"}' })),
    Buffer.from(JSON.stringify({ msg: write({ ...FACTS, metaData: '{}' }), signature: 'AA==' })),
    text('[\'local_action_a\', "b", ../x]'),
  ],
  words: ['"type"', '"agent_id"', '"meta_data"', '"cert_serial"', '"msg"', '"signature"', 'local_action_'],
  run(input) {
    const body = input.toString('utf8')
    const message = unlessRefused(['malformed'], () => parseRevocationMessage(body))
    if (message) {
      const serial = revokedSerial(message)
      demand(serial === null || (serial >= 0n && serial < 10n ** 49n), `the serial is ${serial}`)
    }
    const sent = write({ ...FACTS, metaData: body, agentId: body.slice(0, 80), context: body })
    demand(/^[\x20-\x7e]*$/.test(sent) && sent.length <= 32 << 10, `a message of ${sent.length} characters is sent`)
    demand(parseRevocationMessage(sent).agent_id === body.slice(0, 80).toWellFormed(), 'the id of the agent is lost')
    unlessRefused(['invalid_request'], () => readRevocationNotification(input))
    const { names } = parseActionList(body)
    demand(
      names.every((name) => /^[\w][\w.-]*$/.test(name) && name !== '..' && !name.includes('/')),
      'the name of an action is a path',
    )
  },
}
