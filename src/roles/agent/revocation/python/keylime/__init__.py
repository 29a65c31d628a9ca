"""What revocation actions import of Keylime, for actions that an agent without Python runs."""
