// WY wires of a from SHIFT on; beyond its end the sign.
module crystal_bits #(parameter WA = 1, parameter SHIFT = 0, parameter WY = 1) (
    input  wire [WA-1:0] a,
    output wire [WY-1:0] y
);
    localparam W = WA + SHIFT + WY;
    wire [W-1:0] wide = {{(SHIFT+WY){a[WA-1]}}, a} >> SHIFT;
    wire unused_rest = &{1'b0, a, wide[W-1:WY]};
    assign y = wide[WY-1:0];
endmodule
