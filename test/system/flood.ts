// Creates files as fast as it can, a thousand in each directory: `node flood.ts FOLDER COUNT`.
import fs from 'node:fs';

const [folder = '', count] = process.argv.slice(2);
for (let number = 0; number < Number(count); number++) {
  const directory = `${folder}/${Math.floor(number / 1_000)}`;
  if (number % 1_000 === 0) fs.mkdirSync(directory);
  fs.writeFileSync(`${directory}/${number}`, `file ${number}`);
}
