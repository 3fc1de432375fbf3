"""What a machine has: devices, memory, bandwidths and the budgets its owner sets. Pure but for detection."""

from models_app.hardware.profile import Budget, Device, Profile

__all__ = ["Budget", "Device", "Profile"]
