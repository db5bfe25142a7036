"""Side room: several processes, precision, compilation, decoding on fixed memory, planning, benchmarks."""
