// A real OpenID provider for the tests: `node provider.mjs PORT ACCOUNTS [lean]`. People and their claims stand in the file
// ACCOUNTS, a JSON object by subject, which is read anew at each login. Its own pages ask for login and consent.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, accounts, lean] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const native = {
  application_type: "native",
  grant_types: ["authorization_code"],
  redirect_uris: ["http://127.0.0.1/callback"],
  response_types: ["code"],
  token_endpoint_auth_method: "none",
};

// One that shows whether it is written as a form has it: a colon, a plus, a space and a percent sign.
const secret = "a secret: 100% + more";

const made = (kid, ...kind) => ({ ...generateKeyPairSync(...kind).privateKey.export({ format: "jwk" }), kid, use: "sig" });
const keys = [
  made("rsa", "rsa", { modulusLength: 2048 }),
  made("ec", "ec", { namedCurve: "P-256" }),
  made("ed", "ed25519"),
];

const provider = new Provider(issuer, {
  clients: [
    { ...native, client_id: "taut" },
    { ...native, client_id: "elsewhere" },
    { ...native, client_id: "elliptic", id_token_signed_response_alg: "ES256" },
    { ...native, client_id: "edwards", id_token_signed_response_alg: "EdDSA" },
    { ...native, client_id: "basic", client_secret: secret, token_endpoint_auth_method: "client_secret_basic" },
    { ...native, client_id: "posting", client_secret: secret, token_endpoint_auth_method: "client_secret_post" },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email", "email_verified"] },
  // As other providers do: what was asked for by scope stands in the ID token. With a third word, only at userinfo.
  conformIdTokenClaims: lean !== undefined,
  cookies: { keys: ["only for tests"] },
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA"] },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, sub) => {
    const known = JSON.parse(readFileSync(accounts, "utf8"))[sub];
    return known && { accountId: sub, claims: () => ({ sub, ...known }) };
  },
  jwks: { keys },
  pkce: { required: () => true },
  ttl: { IdToken: 600 },
});
provider.listen(Number(port), "127.0.0.1", () => console.log(`ready at ${issuer}`));
