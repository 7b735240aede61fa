import { rm, stat } from 'node:fs/promises'
import type { Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { LocalMachine } from '../host/host.ts'
import { shellLine } from '../host/quote.ts'
import { Secret } from '../host/secret.ts'
import { credentialPath, encryptArgv, readCredential, storeCredential } from '../keyring/credential.ts'

/** The passphrase that `enable` keeps for the boot. It counts as there only when it opens the keyring. */
export const keptPassphrase = (
  local: LocalMachine,
  name: string,
  opens: (secret: Secret) => Promise<void>,
) => {
  const path = credentialPath(name)
  const probe: Step['probe'] = async () => {
    if (!(await stat(path).catch(() => null))) return { is: 'absent' }
    try {
      await opens(await readCredential(local, name, path))
      return { is: 'present' }
    } catch (error) {
      if (!(error instanceof Fault) || error.exit !== Exit.secret) throw error
      return { is: 'differs', found: `${path} does not open the keyring any more` }
    }
  }
  return {
    path,
    /** A copy is tried: what opens the keyring wipes what it was given. */
    prove: (secret: Secret): Promise<void> => opens(new Secret(Uint8Array.from(secret.reveal()))),
    /** @param secret what was asked for; null in a dry run, or when the one that is there is right */
    step: (secret: Secret | null): Step => {
      const store = [
        {
          on: local,
          text: `${shellLine(encryptArgv(name))} > ${path}   < [secret]`,
          call: async () => {
            if (secret) await storeCredential(local, name, secret)
          },
        },
      ]
      const remove = [{ on: local, text: `rm ${path}`, call: () => rm(path, { force: true }) }]
      return { name: 'passphrase', needs: [], probe, up: store, mend: store, down: remove }
    },
  }
}
