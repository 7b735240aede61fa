import { join } from 'node:path'
import { exec } from '../../lab/exec.ts'

/** A certificate that nobody asked for, with its key: FOLDER/NAME.pem and .key, readable for everybody. */
export const newCertificate = async (folder: string, name: string): Promise<void> => {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await exec([
    'openssl',
    'req',
    '-x509',
    ...curve,
    '-keyout',
    key,
    '-out',
    certificate,
    '-subj',
    `/CN=${name}`,
  ])
  await exec(['chmod', '0644', key])
}
