import unittest

from stockroom import Inventory, OutOfStock


class InventoryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.shelf = Inventory()
        self.shelf.add("M4 bolt", 120)

    def test_adding_adds_up(self) -> None:
        self.shelf.add("M4 bolt", 5)
        self.assertEqual(self.shelf.count("M4 bolt"), 125)

    def test_removing_takes_away(self) -> None:
        self.shelf.remove("M4 bolt", 20)
        self.assertEqual(self.shelf.count("M4 bolt"), 100)

    def test_more_than_there_are_cannot_be_removed(self) -> None:
        with self.assertRaises(OutOfStock) as caught:
            self.shelf.remove("M4 bolt", 121)
        self.assertEqual((caught.exception.wanted, caught.exception.there), (121, 120))

    def test_quantities_are_positive(self) -> None:
        for quantity in (0, -1):
            with self.assertRaises(ValueError):
                self.shelf.add("M4 bolt", quantity)
            with self.assertRaises(ValueError):
                self.shelf.remove("M4 bolt", quantity)

    def test_items_are_sorted_by_name(self) -> None:
        self.shelf.add("Axle", 2)
        self.assertEqual(self.shelf.items(), [("Axle", 2), ("M4 bolt", 120)])
