"""What tests share: logs, archives, servers, the kernels by name. No tests here."""
