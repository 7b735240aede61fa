import { Exit, type ExitCode } from '../fault.ts'
import { jsonSchemaText } from '../profile/manual.ts'
import type { World } from './world.ts'

/**
 * `cloudvault schema`: the JSON Schema of profiles, for editors. The same text is shipped as
 * profiles/profile.schema.json.
 */
export const schemaVerb = async (world: World): Promise<ExitCode> => {
  world.stdout.write(jsonSchemaText())
  return Exit.ok
}
