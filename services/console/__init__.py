"""The console: web pages over the gateway, which speak to it by the public client and by nothing else."""
