// Run as a program, on the side of the workload: Google's own library calls an API with what it takes for a token.
// node google-client.ts access|identity URL AUDIENCE
// Credentials are those of the environment, as in any application: a key file, or a metadata server.
import { GoogleAuth } from "google-auth-library";

const [kind, url = "", audience = ""] = process.argv.slice(2);
const auth = new GoogleAuth({ scopes: ["https://www.googleapis.com/auth/cloud-platform"] });
const client = kind === "identity" ? await auth.getIdTokenClient(audience) : await auth.getClient();
const { data } = await client.request<string>({ url, responseType: "text", retry: false });
process.stdout.write(data);
