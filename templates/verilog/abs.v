// y = |a| of a signed a.
module crystal_abs #(parameter WA = 1, parameter WY = 1) (
    input  wire [WA-1:0] a,
    output wire [WY-1:0] y
);
    wire [WA:0] wide = {a[WA-1], a};
    wire [WA:0] positive = a[WA-1] ? -wide : wide;
    wire unused_top = &{1'b0, positive[WA:WY]};
    assign y = positive[WY-1:0];
endmodule
