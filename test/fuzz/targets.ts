import type { Target } from './target.ts'
import { agentApi } from './targets/agent-api.ts'
import { attest } from './targets/attest.ts'
import { auditChain } from './targets/audit-chain.ts'
import { binaryList } from './targets/binary-list.ts'
import { bootEvent } from './targets/boot-event.ts'
import { bootLog } from './targets/boot-log.ts'
import { boundedJson } from './targets/bounded-json.ts'
import { certificate } from './targets/certificate.ts'
import { cpio } from './targets/cpio.ts'
import { credentialBlob } from './targets/credential-blob.ts'
import { crl } from './targets/crl.ts'
import { csr } from './targets/csr.ts'
import { deb } from './targets/deb.ts'
import { deliveryOrder } from './targets/delivery-order.ts'
import { der } from './targets/der.ts'
import { devicePath } from './targets/device-path.ts'
import { dmEvent } from './targets/dm-event.ts'
import { envelope } from './targets/envelope.ts'
import { exclude } from './targets/exclude.ts'
import { fileSignature } from './targets/file-signature.ts'
import { host } from './targets/host.ts'
import { httpAnswer } from './targets/http-answer.ts'
import { imaEntry } from './targets/ima-entry.ts'
import { imaKey } from './targets/ima-key.ts'
import { imaLog } from './targets/ima-log.ts'
import { iniFile } from './targets/ini-file.ts'
import { keystore } from './targets/keystore.ts'
import { legacyPolicy } from './targets/legacy-policy.ts'
import { machineLines } from './targets/machine-lines.ts'
import { machineList } from './targets/machine-list.ts'
import { ocsp } from './targets/ocsp.ts'
import { packageIndex } from './targets/package-index.ts'
import { packedJson } from './targets/packed-json.ts'
import { pcrBlob } from './targets/pcr-blob.ts'
import { pcrText } from './targets/pcr-text.ts'
import { publicArea } from './targets/public-area.ts'
import { pushApi } from './targets/push-api.ts'
import { pushAsked } from './targets/push-asked.ts'
import { pushEvidence } from './targets/push-evidence.ts'
import { pushNegotiation } from './targets/push-negotiation.ts'
import { pushProof } from './targets/push-proof.ts'
import { pushRefusal } from './targets/push-refusal.ts'
import { pythonLiteral } from './targets/python-literal.ts'
import { quoteText } from './targets/quote-text.ts'
import { referenceState } from './targets/reference-state.ts'
import { registrarApi } from './targets/registrar-api.ts'
import { revocationMessage } from './targets/revocation-message.ts'
import { router } from './targets/router.ts'
import { rpm } from './targets/rpm.ts'
import { rpmIndex } from './targets/rpm-index.ts'
import { runtimePolicy } from './targets/runtime-policy.ts'
import { sealedShare } from './targets/sealed-share.ts'
import { signatureLists } from './targets/signature-lists.ts'
import { submittedEvidence } from './targets/submitted-evidence.ts'
import { successor } from './targets/successor.ts'
import { systemdLog } from './targets/systemd-log.ts'
import { tar } from './targets/tar.ts'
import { tomlFile } from './targets/toml-file.ts'
import { tpmPolicy } from './targets/tpm-policy.ts'
import { tpmSignature } from './targets/tpm-signature.ts'
import { transportKey } from './targets/transport-key.ts'
import { uki } from './targets/uki.ts'
import { verifierApi } from './targets/verifier-api.ts'
import { zip } from './targets/zip.ts'

/** All readers of bytes from outside that are fuzzed, by the name of their file. */
export const TARGETS: Readonly<Record<string, Target>> = {
  'agent-api': agentApi,
  attest,
  'audit-chain': auditChain,
  'binary-list': binaryList,
  'boot-event': bootEvent,
  'boot-log': bootLog,
  'bounded-json': boundedJson,
  certificate,
  cpio,
  'credential-blob': credentialBlob,
  crl,
  csr,
  deb,
  'delivery-order': deliveryOrder,
  der,
  'device-path': devicePath,
  'dm-event': dmEvent,
  envelope,
  exclude,
  'file-signature': fileSignature,
  host,
  'http-answer': httpAnswer,
  'ima-entry': imaEntry,
  'ima-key': imaKey,
  'ima-log': imaLog,
  'ini-file': iniFile,
  keystore,
  'legacy-policy': legacyPolicy,
  'machine-lines': machineLines,
  'machine-list': machineList,
  ocsp,
  'package-index': packageIndex,
  'packed-json': packedJson,
  'pcr-blob': pcrBlob,
  'pcr-text': pcrText,
  'public-area': publicArea,
  'push-api': pushApi,
  'push-asked': pushAsked,
  'push-evidence': pushEvidence,
  'push-negotiation': pushNegotiation,
  'push-proof': pushProof,
  'push-refusal': pushRefusal,
  'python-literal': pythonLiteral,
  'quote-text': quoteText,
  'reference-state': referenceState,
  'registrar-api': registrarApi,
  'revocation-message': revocationMessage,
  router,
  rpm,
  'rpm-index': rpmIndex,
  'runtime-policy': runtimePolicy,
  'sealed-share': sealedShare,
  'signature-lists': signatureLists,
  'submitted-evidence': submittedEvidence,
  successor,
  'systemd-log': systemdLog,
  tar,
  'toml-file': tomlFile,
  'tpm-policy': tpmPolicy,
  'tpm-signature': tpmSignature,
  'transport-key': transportKey,
  uki,
  'verifier-api': verifierApi,
  zip,
}

/** What the file of a target exports: its name in camel case. */
export const exportNameOf = (target: string): string => target.replace(/-(\w)/g, (_all, letter: string) => letter.toUpperCase())
