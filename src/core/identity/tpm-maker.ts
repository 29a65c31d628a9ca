import { attributeOf } from '../pki/names.ts'
import { alternativeNames } from '../pki/subject-alternative-names.ts'
import type { Certificate } from '../pki/types.ts'

const TCG_TPM_MANUFACTURER = '2.23.133.2.1'
const TCG_TPM_MODEL = '2.23.133.2.2'

/** TCG Vendor ID Registry: the four letters that a TPM gives as its maker. */
const MAKERS: Record<string, string> = {
  AMD: 'AMD',
  ANT: 'Ant Group',
  ATML: 'Atmel',
  BRCM: 'Broadcom',
  CSCO: 'Cisco',
  FLYS: 'Flyslice',
  GOOG: 'Google',
  HISI: 'HiSilicon',
  HPE: 'HPE',
  HPI: 'HP',
  IBM: 'IBM',
  IFX: 'Infineon',
  INTC: 'Intel',
  LEN: 'Lenovo',
  MSFT: 'Microsoft',
  NSG: 'NSING',
  NTC: 'Nuvoton',
  NTZ: 'Nationz',
  QCOM: 'Qualcomm',
  ROCC: 'Fuzhou Rockchip',
  SMSC: 'SMSC',
  SMSN: 'Samsung',
  SNS: 'Sinosun',
  STM: 'STMicroelectronics',
  TXN: 'Texas Instruments',
  WEC: 'Winbond',
}

/** Who made the TPM and which model, from its EK certificate (TCG EK Credential Profile, section 3.1.2); the issuer's name when the certificate does not say. */
export function tpmMaker(certificate: Certificate): string {
  const directory = alternativeNames(certificate).find((name) => name.type === 'directory')
  const id = directory ? attributeOf(directory.name, TCG_TPM_MANUFACTURER) : undefined
  const model = directory ? attributeOf(directory.name, TCG_TPM_MODEL) : undefined
  const maker = id
    ? makerOf(id)
    : (attributeOf(certificate.issuerName, 'O') ?? attributeOf(certificate.issuerName, 'CN') ?? 'an unnamed maker')
  return model ? `${maker} (${model})` : maker
}

/** Software TPM of IBM and libtpms: its id is no letters. */
const SOFTWARE_TPM = '00001014'

function makerOf(id: string): string {
  if (id.replace(/^id:/i, '') === SOFTWARE_TPM) return 'a software TPM'
  const letters = Buffer.from(id.replace(/^id:/i, ''), 'hex')
    .toString('latin1')
    .replace(/[\0\s]+$/, '')
  if (!/^[\x20-\x7e]+$/.test(letters)) return `maker ${id}`
  return makerName(letters)
}

/** @param letters of the TCG Vendor ID Registry, as a TPM gives them. */
export const makerName = (letters: string): string => MAKERS[letters] ?? letters
