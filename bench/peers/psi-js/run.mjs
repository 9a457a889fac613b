// Cardinality of two half-shared sets, both roles in this process. Loading, keys and sets are set-up.
// usage: node run.mjs ITEMS: prints {"shared","cpuMs","wallMs"}
import PSI from '@openmined/psi.js';

const items = Number(process.argv[2]);
const psi = await PSI();
const server = psi.server.createWithNewKey(false);
const client = psi.client.createWithNewKey(false);
const own = (from) => Array.from({ length: items }, (_, i) => `item ${from + i}`);
const [served, asked] = [own(0), own(items / 2)];
const wall = performance.now();
const cpu = process.cpuUsage();
// Raw: exact, like Weir. The other structures answer approximately.
const setup = server.createSetupMessage(0, items, served, psi.dataStructure.Raw);
const request = client.createRequest(asked);
const response = server.processRequest(request);
const shared = client.getIntersectionSize(setup, response);
const { user, system } = process.cpuUsage(cpu);
const wallMs = performance.now() - wall;
process.stdout.write(`${JSON.stringify({ shared, cpuMs: (user + system) / 1000, wallMs })}\n`);
