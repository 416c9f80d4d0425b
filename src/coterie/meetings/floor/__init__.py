"""Policies of the floor: who may speak, and who is next."""

from coterie.meetings.floor.chaired import Chair, Selector
from coterie.meetings.floor.contract_net import Contract, ContractNet
from coterie.meetings.floor.policy import Floor, Open, RaisedHands, RoundRobin, Turn

__all__ = ["Chair", "Contract", "ContractNet", "Floor", "Open", "RaisedHands", "RoundRobin", "Selector", "Turn"]
