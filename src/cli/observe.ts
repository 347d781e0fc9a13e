/** weir observe: look on at what something else forwards, in the foreground, without a file. */
import type { Command } from "commander";
import { collect, example } from "./common.ts";
import type { Deps, ObserveOptions } from "./deps.ts";
import { BadNews } from "./errors.ts";

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("observe")
    .description("count and sample what Linux bridges and devices carry; every frame passes on untouched")
    .argument("<devices...>", 'a Linux bridge (all its members, now and later), a device, or a pattern ("vnet*")')
    .option("--netflow <host:port>", "export NetFlow v5 there; again for more collectors", collect, [])
    .option("--ipfix <host:port>", "export IPFIX there; again for more collectors", collect, [])
    .option("--sflow <host:port>", "export sFlow there; again for more collectors", collect, [])
    .action(async (devices: string[], options: Omit<ObserveOptions, "devices">) => {
      const code = await deps.engine.observe({ ...options, devices });
      if (code !== 0) throw new BadNews(code);
    });
  example(command, "weir observe br0", "weir observe eth1 --netflow 127.0.0.1:2055");
}
