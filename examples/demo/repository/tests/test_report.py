import unittest

from stockroom import Inventory, table


class TableTest(unittest.TestCase):
    def test_empty_inventory_is_an_empty_table(self) -> None:
        self.assertEqual(table(Inventory()), "")

    def test_names_are_padded_and_counts_right_aligned(self) -> None:
        shelf = Inventory()
        shelf.add("M4 bolt", 120)
        shelf.add("Axle", 2)
        self.assertEqual(table(shelf), "Axle          2\nM4 bolt     120")
