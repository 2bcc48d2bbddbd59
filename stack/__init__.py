"""The whole stack on one machine: servers, processes, ports, local models, demo."""
